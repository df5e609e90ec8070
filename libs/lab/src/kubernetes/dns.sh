#!/bin/sh
# DNS for the pods of a cluster: names of services, and ours, which the inter-domain-dns knows.
set -eu
address=$1 inter_domain_dns=$2 directory=$3 kubectl=$4 kubeconfig=$5

# It would outlive this script if that is killed.
setpriv --pdeathsig KILL dnsmasq --keep-in-foreground --user=root --pid-file= --conf-file=/dev/null --no-hosts --no-resolv \
    --bind-interfaces --listen-address="$address" --local=/cluster.local/ --hostsdir="$directory" \
    --server="/inter.l2sces/$inter_domain_dns" --server="/inter.l2sm/$inter_domain_dns" &

while :; do
    "$kubectl" --kubeconfig "$kubeconfig" get services --all-namespaces --watch --no-headers \
        --output custom-columns=A:.spec.clusterIP,N:.metadata.name,S:.metadata.namespace |
        while read -r service_address name namespace; do
            case $service_address in
                # Whole or not at all: dnsmasq reads it as soon as it is there.
                [0-9]*)
                    echo "$service_address $name.$namespace.svc.cluster.local" > "$directory/../dns.new"
                    mv "$directory/../dns.new" "$directory/$namespace.$name"
                    ;;
            esac
        done
    sleep 1
done
