//! Lets several plugins into one program: each exports its descriptor under the same name, and here nobody
//! looks for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg=-Wl,--allow-multiple-definition");
}
