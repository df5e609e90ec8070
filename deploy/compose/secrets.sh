#!/bin/sh
# Makes the secrets of the stack that are not there yet: an authority, certificates and passwords.
# Certificates are valid for a year; those older than 300 days are made anew, and used by their
# holders from their next start.
set -eu
# The holders of a node's certificates are of one group.
umask 027

# certificate VOLUME OWNER ROLE NAME SAN...
certificate() {
    directory=/secrets/$1 owner=$2 role=$3 name=$4
    shift 4
    issued=$directory/$role-$name.pem
    if [ -z "$(find "$directory" -path "$issued" -mtime -300)" ]; then
        for san; do
            shift
            set -- "$@" --san "$san"
        done
        # What is made is ours until it is handed over.
        rm -f "$issued" "${issued%.pem}.key"
        l2sces pki issue --dir /secrets/authority --out "$directory" --role "$role" --name "$name" "$@"
        chmod g+r "${issued%.pem}.key"
    fi
    chown -R "$owner" "$directory"
}

# password FILE: makes it, unless it is there. Whole or not at all.
password() {
    if [ ! -e "$1" ]; then
        od -A n -t x1 -N 24 /dev/urandom | tr -d ' \n' > "$1.new"
        mv "$1.new" "$1"
    fi
}

# role VOLUME ROLE: a service's role in the database, and what it logs in with, as libpq has it.
role() {
    password "/secrets/database/$2"
    if [ ! -e "/secrets/$1/pgpass" ]; then
        # It is ignored if others could read it.
        (umask 077 && echo "postgres:5432:l2sces:$2:$(cat "/secrets/database/$2")" > "/secrets/$1/pgpass")
        chown 65532:65532 "/secrets/$1/pgpass"
    fi
}

if [ ! -e /secrets/authority/ca.pem ]; then
    l2sces pki init --dir /secrets/authority
fi
certificate admin            65532:65532 admin            compose
certificate slice-manager    65532:65532 slice-manager    one slice-manager    "$PREFIX.0.10" localhost 127.0.0.1
certificate sco-provider     65532:65532 sco-provider     one sco-provider     "$PREFIX.0.11"
certificate inter-domain-dns 65532:65532 inter-domain-dns one inter-domain-dns "$PREFIX.0.53"
certificate sdn-controller-a 65532:65532 sdn-controller   a   sdn-controller-a "$PREFIX.0.12"
certificate sdn-controller-b 65532:65532 sdn-controller   b   sdn-controller-b "$PREFIX.0.13"
for node in a1:21 a2:22 b1:31 b2:32; do
    name=${node%:*} address=$PREFIX.0.${node#*:}
    certificate "$name" 0:65532 sps-agent "$name" "$name" "$address"
    case $name in
        *1) certificate "$name" 0:65532 ned-agent "$name" "$name" "$address" ;;
    esac
done

password /secrets/postgres/password
role slice-manager slice_manager
role sco-provider sco_provider
role inter-domain-dns inter_domain_dns
role sdn-controller-a sdn_a
role sdn-controller-b sdn_b
# The user of the Postgres image.
chown -R 999:999 /secrets/postgres /secrets/database
