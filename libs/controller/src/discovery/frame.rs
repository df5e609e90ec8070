//! The discovery frame: LLDP (IEEE 802.1AB-2016, section 8) with three mandatory TLVs and a
//! signature.

use l2sces_fabric::LinkEnd;
use l2sces_fabric::pipeline::ETHERTYPE_LLDP;
use ring::hmac;

/// LLDP's nearest-bridge address (IEEE 802.1AB-2016, table 7-1).
const DESTINATION: [u8; 6] = [0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e];
/// A locally administered address that no endpoint uses as a source: `02` and "l2sce".
const SOURCE: [u8; 6] = [0x02, b'l', b'2', b's', b'c', b'e'];

const TLV_END: u8 = 0;
const TLV_CHASSIS_ID: u8 = 1;
const TLV_PORT_ID: u8 = 2;
const TLV_TTL: u8 = 3;
const TLV_ORGANIZATION: u8 = 127;
/// Chassis id subtype "locally assigned": the datapath id as 16 hexadecimal digits.
const CHASSIS_LOCAL: u8 = 7;
/// Port id subtype "interface name".
const PORT_INTERFACE_NAME: u8 = 5;
/// A locally administered organization identifier, and the subtype of our signature.
const SIGNATURE_HEADER: [u8; 4] = [0x02, b'l', b'2', 1];
/// Bytes of the signature: HMAC-SHA-256 (RFC 2104), cut as its section 5 allows.
const SIGNATURE_LENGTH: usize = 16;
/// Seconds for which a receiver may believe the frame.
const TTL_SECONDS: u16 = 60;

/// Signs and checks discovery frames.
#[derive(Debug)]
pub(crate) struct DiscoveryKey(hmac::Key);

impl DiscoveryKey {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The frame that says: I was sent out of this end of a link.
    pub(crate) fn frame(&self, from: &LinkEnd) -> Vec<u8> {
        let mut frame = Vec::with_capacity(96);
        frame.extend(DESTINATION);
        frame.extend(SOURCE);
        frame.extend(ETHERTYPE_LLDP.to_be_bytes());
        let chassis = from.switch.to_string();
        put_tlv(&mut frame, TLV_CHASSIS_ID, &[&[CHASSIS_LOCAL], chassis.as_bytes()]);
        let interface = from.interface.as_str().as_bytes();
        put_tlv(&mut frame, TLV_PORT_ID, &[&[PORT_INTERFACE_NAME], interface]);
        put_tlv(&mut frame, TLV_TTL, &[&TTL_SECONDS.to_be_bytes()]);
        let signature = self.sign(&frame);
        put_tlv(&mut frame, TLV_ORGANIZATION, &[&SIGNATURE_HEADER, &signature]);
        put_tlv(&mut frame, TLV_END, &[]);
        frame
    }

    /// Where a frame was sent; `None` if it is not one of ours.
    pub(crate) fn sender(&self, frame: &[u8]) -> Option<LinkEnd> {
        let body = frame.strip_prefix(&DESTINATION)?.strip_prefix(&SOURCE)?;
        let body = body.strip_prefix(&ETHERTYPE_LLDP.to_be_bytes())?;
        let (chassis, body) = take_tlv(body, TLV_CHASSIS_ID)?;
        let (port, body) = take_tlv(body, TLV_PORT_ID)?;
        let (_, body) = take_tlv(body, TLV_TTL)?;
        let signed = frame.get(..frame.len() - body.len())?;
        let (signature, _) = take_tlv(body, TLV_ORGANIZATION)?;
        let signature = signature.strip_prefix(&SIGNATURE_HEADER)?;
        // Not compared in constant time: whoever can measure that sits in the underlay already,
        // and a forged frame can only raise a false alarm.
        if signature != self.sign(signed) {
            return None;
        }
        let text = |tlv: &[u8], subtype| -> Option<String> {
            String::from_utf8(tlv.strip_prefix(&[subtype])?.to_vec()).ok()
        };
        Some(LinkEnd {
            switch: text(chassis, CHASSIS_LOCAL)?.parse().ok()?,
            interface: text(port, PORT_INTERFACE_NAME)?.parse().ok()?,
        })
    }

    fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let mut signature = [0; SIGNATURE_LENGTH];
        signature.copy_from_slice(&hmac::sign(&self.0, bytes).as_ref()[..SIGNATURE_LENGTH]);
        signature
    }
}

/// Appends a TLV (section 8.4): 7 bits of type, 9 bits of length, the value.
fn put_tlv(frame: &mut Vec<u8>, kind: u8, value: &[&[u8]]) {
    let length: usize = value.iter().map(|part| part.len()).sum();
    // Every value here is far shorter than the 511 bytes that fit.
    frame.extend((u16::from(kind) << 9 | length as u16 & 0x1ff).to_be_bytes());
    value.iter().for_each(|part| frame.extend(*part));
}

/// Takes a TLV of the given type off the front; returns its value and the rest.
fn take_tlv(body: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (header, rest) = body.split_first_chunk::<2>()?;
    let header = u16::from_be_bytes(*header);
    (header >> 9 == u16::from(kind)).then(|| rest.split_at_checked((header & 0x1ff).into()))?
}
