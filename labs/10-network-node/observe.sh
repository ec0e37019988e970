#!/bin/sh
# What a host of lab 10 holds. Call it there: ./patchbay host network -- sh labs/10-network-node/observe.sh
. "$(dirname "$0")/../observe.sh"

show ip -brief address
show ip route
show ip netns list
show ovs-vsctl show
show ovs-ofctl dump-flows --no-stats br-ext
# The firewall of the network node; compute nodes have none.
show cat /proc/sys/net/ipv4/ip_forward
show nft list ruleset
for router in $(ip netns list | awk '/^qrouter-/ { print $1 }'); do
  show ip -n "$router" -brief address
  show ip -n "$router" route
  show ip netns exec "$router" nft list ruleset
done
