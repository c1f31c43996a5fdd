//! Limits of what is read, so that no file costs more than a second and 64 MB.

/// Maximum number of files that are included.
pub const INCLUDES_MAX: usize = 64;
/// Maximum bytes of a file.
pub const BYTES_MAX: usize = 1 << 20;
/// Maximum number of lines after expansion.
pub const LINES_MAX: usize = 100_000;
/// Maximum bytes of a line, and of what it becomes.
pub const LINE_MAX: usize = 4096;
/// Maximum MiB of all lines in all forms that they have on the way: a bound of time and memory.
pub const WORK_MAX_MIB: usize = 16;
/// Maximum number of different things in the list of what a person has to do.
pub const LISTED_MAX: usize = 1000;
/// Maximum number of things that a sentence names.
pub const NAMED_MAX: usize = 6;
/// Maximum number of virtual addresses of a list.
pub const ADDRESSES_MAX: usize = 4096;
/// Maximum number of words.
pub const WORDS_MAX: usize = 200_000;
/// Maximum depth of definitions, and of blocks.
pub const DEPTH_MAX: usize = 32;
