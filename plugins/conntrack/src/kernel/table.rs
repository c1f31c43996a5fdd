//! Encodes changes as requests.

use spared_netlink::Writer;

use crate::codec::{CREATE, DELETE, EXCLUSIVE, EXPECT_DELETE, EXPECT_NEW, GET, NEW, build};
use crate::engine::{How, KernelChange};
use crate::flow::Flow;

pub fn push(writer: &mut Writer, change: &KernelChange) {
    let (flow, timeout_s) = (&change.flow, change.timeout_s);
    match &change.how {
        How::Create { exclusive } => {
            let exclusive = if *exclusive { EXCLUSIVE } else { 0 };
            writer.push(NEW, CREATE | exclusive, |out| {
                build::create(out, flow, timeout_s)
            });
        }
        How::Update { with_status } => writer.push(NEW, 0, |out| {
            build::update(out, flow, flow.timeout_s.map(|_| timeout_s), *with_status);
        }),
        How::Refresh => writer.push(NEW, 0, |out| build::refresh(out, flow, timeout_s)),
        How::Loosen => writer.push(NEW, 0, |out| build::loosen(out, flow)),
        How::Delete => writer.push(DELETE, 0, |out| build::name(out, flow)),
        How::DeleteReply => writer.push(DELETE, 0, |out| build::name_by_reply(out, flow)),
        How::Expect(true, request) => {
            writer.push(EXPECT_NEW, CREATE, |out| out.extend_from_slice(request));
        }
        How::Expect(false, request) => {
            writer.push(EXPECT_DELETE, 0, |out| out.extend_from_slice(request));
        }
    }
}

pub fn push_questions(writer: &mut Writer, flows: &[Flow]) {
    for flow in flows {
        writer.push(GET, 0, |out| build::name(out, flow));
    }
}

pub fn push_touches(writer: &mut Writer, flows: &[Flow]) {
    for flow in flows {
        writer.push(NEW, 0, |out| build::touch(out, flow));
    }
}
