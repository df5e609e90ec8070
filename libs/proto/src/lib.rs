//! Generated gRPC code of the l2sces APIs: `proto/` at the top of the repository is the source and
//! has the documentation.

macro_rules! package {
    ($name:ident, $package:literal) => {
        #[allow(clippy::all, clippy::pedantic, reason = "generated code")]
        #[doc = concat!("`", $package, "`.")]
        pub mod $name {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    };
}

package!(resource, "l2sces.resource.v1");
package!(measurement, "l2sces.measurement.v1");
package!(slice, "l2sces.slice.v1");
package!(sco, "l2sces.sco.v1");
package!(fabric, "l2sces.fabric.v1");
package!(switch, "l2sces.switch.v1");
package!(attachment, "l2sces.attachment.v1");
package!(issuer, "l2sces.issuer.v1");
package!(dns, "l2sces.dns.v1");

/// Descriptors of all packages, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
