#!/bin/sh
# Lab 7: a VLAN network beside the flat one, and two instances of the demo user on it.
# Call it with admin's credentials: source <(./patchbay openrc admin)
. "$(dirname "$0")/../demo-base.sh"

openstack_commands <<COMMANDS
$demo_project
network create --share --external --provider-network-type flat --provider-physical-network physnet flat-network
network create --share --provider-network-type vlan --provider-physical-network physnet --provider-segment 100 vlan-network
subnet create --network vlan-network --subnet-range 172.17.0.0/24 --gateway 172.17.0.1 --allocation-pool start=172.17.0.2,end=172.17.0.10 --dhcp vlan-subnet
subnet create --network flat-network --subnet-range 172.16.0.0/24 --gateway 172.16.0.1 --allocation-pool start=172.16.0.2,end=172.16.0.10 --dhcp flat-subnet
COMMANDS

. ./demo-openrc
openstack_commands <<COMMANDS
$demo_access
server create --flavor m1.nano --image cirros --network vlan-network --key-name demo-key --security-group default demo-instance-1
server create --flavor m1.nano --image cirros --network vlan-network --key-name demo-key --security-group default demo-instance-2
server list
COMMANDS
