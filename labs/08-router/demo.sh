#!/bin/sh
# Lab 8: two instances of the demo user on a VLAN network, one on the flat network. The router comes by router.sh.
# Call it with admin's credentials: source <(./patchbay openrc admin)
. "$(dirname "$0")/../demo-base.sh"

openstack_commands <<COMMANDS
$demo_project
network create --share --external --provider-network-type flat --provider-physical-network physnet flat-network
network create --share --provider-network-type vlan --provider-physical-network physnet --provider-segment 100 vlan-network
subnet create --network vlan-network --subnet-range 172.18.0.0/24 --gateway 172.18.0.1 --allocation-pool start=172.18.0.2,end=172.18.0.10 --dhcp vlan-subnet
subnet create --network flat-network --subnet-range 172.16.0.0/24 --gateway 172.16.0.1 --allocation-pool start=172.16.0.2,end=172.16.0.10 --dhcp flat-subnet
COMMANDS

. ./demo-openrc
openstack_commands <<COMMANDS
$demo_access
server create --flavor m1.nano --image cirros --network vlan-network --key-name demo-key --security-group default demo-instance-1
server create --flavor m1.nano --image cirros --network vlan-network --key-name demo-key --security-group default demo-instance-2
server create --flavor m1.nano --image cirros --network flat-network --key-name demo-key --security-group default demo-instance-3
server list
COMMANDS
