//! Instructions of classic BPF, for filters of sockets.

/// One instruction: code, jump if true, jump if false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// Loads from the operand's offset, in network byte order.
pub const LOAD_WORD: u16 = 0x20;
pub const LOAD_HALF: u16 = 0x28;
pub const LOAD_BYTE: u16 = 0x30;
/// Loads from the operand's offset behind X.
pub const LOAD_WORD_AT_X: u16 = 0x40;
pub const LOAD_HALF_AT_X: u16 = 0x48;
pub const LOAD_BYTE_AT_X: u16 = 0x50;
/// Load of the length of the packet.
pub const LOAD_LENGTH: u16 = 0x80;
/// Load of X from the scratch memory, and of the length of an IPv4 header that begins at the operand's offset.
pub const LOAD_X: u16 = 0x61;
pub const LOAD_X_HEADER_LENGTH: u16 = 0xb1;
/// Stores of the accumulator and of X in the scratch memory.
pub const STORE: u16 = 0x02;
pub const STORE_X: u16 = 0x03;
pub const COPY_TO_X: u16 = 0x07;
pub const ADD: u16 = 0x04;
pub const ADD_X: u16 = 0x0c;
pub const AND: u16 = 0x54;
pub const SHIFT_LEFT: u16 = 0x64;
pub const JUMP: u16 = 0x05;
pub const JUMP_EQUAL: u16 = 0x15;
pub const JUMP_AT_LEAST: u16 = 0x35;
pub const JUMP_ANY_BIT: u16 = 0x45;
pub const JUMP_GREATER_X: u16 = 0x2d;

/// Ends the program: its operand is the number of bytes that pass.
pub const RETURN: u16 = 0x06;

/// Ends the program: the whole packet passes.
pub const ACCEPT: Instruction = (RETURN, 0, 0, u32::MAX);
/// Ends the program: the packet is dropped.
pub const DROP: Instruction = (RETURN, 0, 0, 0);

/// Value that [`LOAD_HALF`] reads of a number which the kernel wrote in host byte order, as in netlink's headers.
pub(crate) fn half_of(number: u16) -> u32 {
    number.to_be().into()
}
