use ipnet::IpNet;

use crate::Problem;

/// The addresses that a field of a resource gives, such as "10.1.0.0/24"; nothing: it gives none.
///
/// # Errors
/// It gives something else.
pub fn parse_network(field: &str, text: Option<&str>) -> Result<Option<IpNet>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse()
        .map(|net: IpNet| Some(net.trunc()))
        .map_err(|_| Problem::new("InvalidAddresses", format!("{field}: {text:?} is no CIDR")))
}
