//! The header in the repository is the one that this source gives.

use std::env;
use std::fs;
use std::path::Path;

#[test]
fn the_header_is_fresh() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = source.join("../include/meshchat.h");
    let config = cbindgen::Config::from_file(source.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings =
        cbindgen::Builder::new().with_crate(source).with_config(config).generate().expect("bindings");
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    if env::var_os("MESHCHAT_BLESS").is_some() {
        fs::write(&header, &generated).expect("write the header");
    }
    let committed = fs::read(&header).unwrap_or_default();
    assert!(
        committed == generated,
        "include/meshchat.h is stale; renew it with: MESHCHAT_BLESS=1 cargo test -p meshchat-ffi --test header"
    );
}
