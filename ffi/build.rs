//! Gives the shared library its soname. The number is `MESHCHAT_ABI_VERSION`; a test compares the two.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmeshchat.so.0");
    }
}
