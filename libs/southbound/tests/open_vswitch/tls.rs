//! Sessions over TLS, with certificates on both sides.

use std::{net::Ipv4Addr, sync::Arc};

use l2sces_openflow::{Action, Flow, FlowKey, Instruction, Match};
use l2sces_southbound::{Change, ListenArgs, Listener};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    process::replace,
    support::{OpenVswitch, PATIENCE, in_namespace},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Names differ, or OpenSSL takes what an authority issues for self-signed.
fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Issuer, name: &str) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.der().clone(), key)
}

fn server_config(authority: &Issuer) -> Arc<ServerConfig> {
    let (certificate, key) = issue(authority, "127.0.0.1");
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    Arc::new(config.unwrap())
}

/// Gives the switch a certificate of `issuer`'s, and `trusted` to check ours with. Returns its
/// certificate.
fn equip(ovs: &OpenVswitch, issuer: &Issuer, trusted: &Issuer) -> Vec<u8> {
    let (certificate, key) = issue(issuer, "switch");
    let management = ovs.management();
    let write = |name: &str, text: &str| {
        let path = management.with_file_name(name);
        replace(&path, text);
        path.display().to_string()
    };
    // The switch looks at the files all the time, and takes both as soon as the key is another one.
    let ca = write("ca.pem", &trusted.pem());
    let pem = write("switch.pem", &to_pem(&certificate));
    let key = write("switch.key", &key.serialize_pem());
    ovs.vsctl(&format!("set-ssl {key} {pem} {ca}"));
    certificate.to_vec()
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let mut child = std::process::Command::new("openssl")
        .args(["x509", "-inform", "DER"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), certificate).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

async fn listen(tls: Arc<ServerConfig>) -> Listener {
    Listener::bind(ListenArgs::new((Ipv4Addr::LOCALHOST, 0).into(), Some(tls))).await.unwrap()
}

#[test]
fn a_switch_shows_its_certificate_and_works_over_tls() {
    in_namespace(|| async {
        let ovs = OpenVswitch::start().await;
        let authority = authority("ours");
        let certificate = equip(&ovs, &authority, &authority);
        let mut listener = listen(server_config(&authority)).await;
        ovs.set_controller(&format!("ssl:{}", listener.local_address()));
        let switch = timeout(PATIENCE, listener.accept()).await.unwrap();
        assert_eq!(switch.peer_certificate, Some(certificate));

        let changes = (0..20_000).map(|number| {
            let matching = Match::any().metadata(number, u64::MAX);
            Change::AddFlow(Flow {
                key: FlowKey { table: 0, priority: 1, matching },
                cookie: 0,
                idle_timeout: 0,
                instructions: vec![Instruction::ApplyActions(vec![Action::Output(1)])],
            })
        });
        assert_eq!(switch.handle.apply(changes.collect()).await.unwrap().errors, []);
        assert_eq!(switch.handle.read_flows().await.unwrap().len(), 20_000);
    });
}

#[test]
fn a_stranger_gets_no_session() {
    in_namespace(|| async {
        let (authority, stranger) = (authority("ours"), authority("theirs"));
        let foreign = OpenVswitch::start().await;
        equip(&foreign, &stranger, &authority);
        let mut listener = listen(server_config(&authority)).await;
        let address = listener.local_address();
        foreign.set_controller(&format!("ssl:{address}"));

        let refused = async {
            // A plain OpenFlow hello gets no OpenFlow back.
            let mut plain = TcpStream::connect(address).await.unwrap();
            plain.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).await.unwrap();
            let mut answer = Vec::new();
            let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("closed");
            assert_ne!(answer.first(), Some(&4));
            // The stranger has tried and failed when the switch says why.
            let failed =
                || async { foreign.log().contains("alert") || foreign.log().contains("SSL_read") };
            crate::support::eventually("the stranger is refused", failed).await;
        };
        tokio::select! {
            switch = listener.accept() => panic!("accepted {switch:?}"),
            () = refused => {}
        }

        // With a certificate of ours it is welcome.
        equip(&foreign, &authority, &authority);
        timeout(PATIENCE, listener.accept()).await.unwrap();
    });
}
