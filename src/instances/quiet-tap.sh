# Read in by scripts that make taps.

# quiet_tap TAP: a switch in user space reads the tap beside the kernel's own stack. That stack must not answer the guest:
# no IPv6, and with no route back through the tap strict reverse path filtering drops all IPv4.
quiet_tap() {
  [ ! -e "/proc/sys/net/ipv6/conf/$1" ] || echo 1 > "/proc/sys/net/ipv6/conf/$1/disable_ipv6"
  echo 1 > "/proc/sys/net/ipv4/conf/$1/rp_filter"
  echo 8 > "/proc/sys/net/ipv4/conf/$1/arp_ignore"
}
