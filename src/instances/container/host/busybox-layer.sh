#!/bin/sh
# busybox-layer.sh DIRECTORY: fills it with the root file system of the built-in image `busybox`, out of what Debian's
# packages put on this machine: busybox-static, dropbear-bin, iproute2, iputils, curl, isc-dhcp-client, ethtool, tcpdump.
set -eu
root=$1
umask 022
mkdir -p "$root"
cd "$root"
mkdir -p bin sbin lib lib64 usr/bin usr/sbin usr/lib usr/local/bin usr/share/udhcpc etc/dropbear etc/ssl/certs proc sys dev \
  run tmp var/log var/lib var/tmp home/cirros mnt opt srv config
mkdir -p -m 700 root
chmod 1777 tmp var/tmp

busybox=$(command -v busybox)
cp "$busybox" bin/busybox
# The full tools below replace some applets; wget crashes (dataplane.md trap 12); the rest has no use in a container.
for applet in $(busybox --list); do
  case $applet in
    busybox | sh | arping | ip | ping | ping6 | wget | dpkg | dpkg-deb | rpm | rpm2cpio | init | linuxrc) ;;
    *) ln -s busybox "bin/$applet" ;;
  esac
done

take() { # take TARGET PROGRAM: a program and its libraries
  program=$(command -v "$2") || { echo "busybox-layer: $2 is not installed" >&2; exit 1; }
  cp -L "$program" "$1"
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    [ -e ".$library" ] || { mkdir -p ".${library%/*}"; cp -L "$library" ".$library"; }
  done
}
# Not busybox's own shell: it runs its applets instead of the full tools, whatever PATH says.
take bin/sh dash
take bin/bash bash
for name in ip ping arping curl dbclient dropbearkey ss; do take "usr/bin/$name" "$name"; done
for name in dropbear dhclient ethtool tcpdump bridge; do take "usr/sbin/$name" "$name"; done
ln -s dbclient usr/bin/ssh
ln -s ping usr/bin/ping6
for name in ip ss; do ln -s "../bin/$name" "usr/sbin/$name"; done
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/

# Locked passwords: only a key opens, until somebody sets a password.
cat > etc/passwd <<X
root:x:0:0:root:/root:/bin/bash
tcpdump:x:100:100::/nonexistent:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
cirros:x:1000:1000:CirrOS:/home/cirros:/bin/bash
X
cat > etc/group <<X
root:x:0:
tty:x:5:
tcpdump:x:100:
cirros:x:1000:
nogroup:x:65534:
X
for user in root tcpdump nobody cirros; do echo "$user:*:19000:0:99999:7:::"; done > etc/shadow
chmod 640 etc/shadow
printf '/bin/sh\n/bin/bash\n' > etc/shells
echo 'hosts: files dns' > etc/nsswitch.conf
cat > etc/os-release <<X
NAME="Patchbay busybox"
ID=busybox
PRETTY_NAME="Patchbay's built-in busybox image"
X
cat > etc/profile <<X
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PS1='\u@\h:\w\$ '
X
# No privilege grows in a container (no_new_privs): root needs no sudo, and the others cannot have it.
cat > usr/bin/sudo <<X
#!/bin/sh
[ "\$(id -u)" = 0 ] || { echo "sudo: not in a container instance; log in as root with the same key" >&2; exit 1; }
exec "\$@"
X
chmod 755 usr/bin/sudo
