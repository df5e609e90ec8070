//! Compiles the protobuf files at the top of the repository, without a system protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const ROOT: &str = "../../proto";
const FILES: [&str; 11] = [
    "l2sces/resource/v1/resource.proto",
    "l2sces/measurement/v1/measurement.proto",
    "l2sces/slice/v1/slice.proto",
    "l2sces/slice/v1/slice_service.proto",
    "l2sces/sco/v1/sco.proto",
    "l2sces/fabric/v1/fabric.proto",
    "l2sces/switch/v1/switch.proto",
    "l2sces/attachment/v1/attachment.proto",
    "l2sces/issuer/v1/authority.proto",
    "l2sces/issuer/v1/issuer.proto",
    "l2sces/dns/v1/dns.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    // Sorted, so that a message is always encoded in the same way: fingerprints are taken of it.
    tonic_prost_build::configure().btree_map(".").compile_fds(descriptors)?;
    Ok(())
}
