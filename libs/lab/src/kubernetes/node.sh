#!/bin/sh
# A node: a machine of its own as far as containerd, kubelet and kube-proxy can see. They are started
# again when they end, as an init system would. Its name, its directory and that of the programs of
# Kubernetes are arguments; all else is in files of the directory.
set -eu
stage=$1 name=$2 directory=$3 group=$4 programs=$5 logs=$6

# Outside, in the node's network namespace: joins the node's control groups, which are then the root of
# all that it sees, and becomes a process whose end is the end of everything below it.
if [ "$stage" = outside ]; then
    for hierarchy in blkio cpu cpuacct cpuset devices freezer memory pids systemd; do
        echo $$ > "/sys/fs/cgroup/$hierarchy/$group/cgroup.procs"
    done
    exec unshare --mount --uts --ipc --pid --cgroup --fork --kill-child --propagation private \
        sh "$0" inside "$name" "$directory" "$group" "$programs" "$logs"
fi

hostname "$name"
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /sys/fs/cgroup
for hierarchy in blkio cpu cpuacct cpuset devices freezer memory pids systemd; do
    mkdir "/sys/fs/cgroup/$hierarchy"
    # That of systemd has a name instead of a controller.
    case $hierarchy in systemd) option=none,name=systemd ;; *) option=$hierarchy ;; esac
    mount -t cgroup -o "$option" "$hierarchy" "/sys/fs/cgroup/$hierarchy"
done
# Whatever the machine has of its own there stays unseen.
mount -t tmpfs tmpfs /run
for own in /etc/cni /etc/openvswitch /opt /var/lib /var/log; do
    mkdir -p "$own" "$directory/root$own"
    mount --bind "$directory/root$own" "$own"
done
mount --make-rshared /
mkdir -p /etc/cni/net.d /opt/cni/bin /run/netns /var/lib/kubelet
cp /usr/lib/cni/* /opt/cni/bin/
cp "$directory/10-pods.conflist" /etc/cni/net.d/

keep() {
    log=$logs/$1-$name.log
    shift
    while :; do
        "$@" >> "$log" 2>&1 || true
        sleep 1
    done &
}
keep containerd containerd --config "$directory/containerd.toml"
until ctr version > /dev/null 2>&1; do sleep 0.1; done
for image in "$directory"/../../images/*.tar; do
    ctr --namespace k8s.io images import "$image" > /dev/null
done
keep kubelet "$programs/kubelet" --config="$directory/kubelet.yaml" \
    --kubeconfig="$directory/../$name.kubeconfig" --hostname-override="$name" \
    --node-ip="$(cat "$directory/address")" --cert-dir=/var/lib/kubelet/pki \
    --container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock
keep kube-proxy "$programs/kube-proxy" --kubeconfig="$directory/../$name.kubeconfig" \
    --hostname-override="$name" --proxy-mode=iptables --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
wait
