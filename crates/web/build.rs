//! Says which pages go into the binary: the built ones of `web/dist`, or the plain page in `pages/` that tells how to
//! build them.

use std::fs;
use std::path::Path;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = here.join("../../web/dist");
    // An empty folder can be watched; a missing one would run this script, and build the crate, every time. If it cannot
    // be made, that is all that is lost.
    let _made = fs::create_dir_all(&built);
    let pages = if built.join("index.html").is_file() { built } else { here.join("pages") };
    println!("cargo:rustc-env=MIAOSHA_PAGES={}", pages.display());
    println!("cargo:rerun-if-changed=../../web/dist");
    println!("cargo:rerun-if-changed=pages");
    println!("cargo:rerun-if-changed=build.rs");
}
