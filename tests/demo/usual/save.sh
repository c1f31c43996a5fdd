#!/bin/sh
# What a peer fetches, as it is at this moment.
cp @LEASES@ @DIR@/state/dnsmasq4.leases
{
	echo flush set inet filter bans
	nft list set inet filter bans
} >@DIR@/state/bans
