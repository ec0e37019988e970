/** Flow lines as Neutron's agent and ours write them: what is written, and the canonical text of its key and actions. */

export interface FlowSample {
  readonly line: string;
  readonly key: string;
  readonly actions: string;
}

/** Samples where the canonical text is what was written, blanks aside. */
const SAME = [
  // br-int
  'table=0,priority=65535,dl_vlan=4095 actions=drop',
  'table=0,priority=10,icmp6,in_port=11,icmp_type=136 actions=resubmit(,24)',
  'table=0,priority=10,arp,in_port=11 actions=resubmit(,24)',
  'table=0,priority=9,in_port=11 actions=resubmit(,25)',
  'table=0,priority=3,in_port=1,vlan_tci=0x0000/0x1fff actions=push_vlan:0x8100,set_field:4098->vlan_vid,resubmit(,60)',
  'table=0,priority=3,in_port=1,dl_vlan=100 actions=set_field:4097->vlan_vid,resubmit(,60)',
  'table=0,priority=2,in_port=LOCAL actions=drop',
  'table=0,priority=0 actions=resubmit(,60)',
  'table=23,priority=0 actions=drop',
  'table=24,priority=2,icmp6,in_port=11,icmp_type=136,nd_target=fe80::f816:3eff:fe00:1 actions=NORMAL',
  'table=24,priority=2,arp,in_port=11,arp_spa=10.0.0.3 actions=resubmit(,25)',
  'table=24,priority=2,arp,in_port=11,arp_spa=10.0.0.0/24 actions=resubmit(,25)',
  'table=25,priority=2,in_port=11,dl_src=fa:16:3e:00:00:01 actions=resubmit(,60)',
  'table=60,priority=100,in_port=11 actions=load:0xb->NXM_NX_REG5[],load:0x1->NXM_NX_REG6[],resubmit(,71)',
  'table=60,priority=90,dl_vlan=1,dl_dst=fa:16:3e:00:00:01 actions=load:0xb->NXM_NX_REG5[],load:0x1->NXM_NX_REG6[],strip_vlan,resubmit(,81)',
  // security groups
  'table=71,priority=95,icmp6,reg5=0xb,in_port=11,dl_src=fa:16:3e:00:00:01,ipv6_src=fe80::f816:3eff:fe00:1,icmp_type=130 actions=resubmit(,94)',
  'table=71,priority=95,arp,reg5=0xb,in_port=11,dl_src=fa:16:3e:00:00:01,arp_spa=10.0.0.3 actions=resubmit(,94)',
  'table=71,priority=80,udp,reg5=0xb,in_port=11,tp_src=68,tp_dst=67 actions=resubmit(,73)',
  'table=71,priority=80,udp6,reg5=0xb,in_port=11,tp_src=546,tp_dst=547 actions=resubmit(,73)',
  'table=71,priority=70,udp,reg5=0xb,in_port=11,tp_src=67,tp_dst=68 actions=resubmit(,93)',
  'table=71,priority=65,ct_state=-trk,ip,reg5=0xb,in_port=11,dl_src=fa:16:3e:00:00:01,nw_src=10.0.0.3 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
  'table=71,priority=65,ct_state=-trk,ipv6,reg5=0xb,in_port=11,dl_src=fa:16:3e:00:00:01,ipv6_src=fd00::/64 actions=ct(table=72,zone=NXM_NX_REG6[0..15])',
  'table=71,priority=10,ct_state=-trk,reg5=0xb,in_port=11 actions=resubmit(,93)',
  'table=72,priority=77,ct_state=+est-rel-rpl,tcp,reg5=0xb,nw_dst=10.1.0.0/16,tp_dst=0x50/0xfff0 actions=resubmit(,73)',
  'table=72,priority=74,ct_state=+est-rel-rpl,ip,reg5=0xb actions=resubmit(,73)',
  'table=72,priority=50,ct_state=+inv+trk actions=resubmit(,93)',
  'table=72,priority=50,ct_mark=0x1,reg5=0xb actions=resubmit(,93)',
  'table=72,priority=40,ct_state=+est,ip,reg5=0xb actions=ct(commit,zone=NXM_NX_REG6[0..15],exec(load:0x1->NXM_NX_CT_MARK[]))',
  'table=72,priority=40,ct_state=-est,ip,reg5=0xb actions=resubmit(,93)',
  'table=73,priority=80,ct_state=+new-est,ip,reg5=0xb actions=ct(commit,zone=NXM_NX_REG6[0..15]),resubmit(,91)',
  'table=73,priority=100,reg6=0x1,dl_dst=fa:16:3e:00:00:02 actions=load:0xc->NXM_NX_REG5[],resubmit(,81)',
  'table=82,priority=77,ct_state=+est-rel-rpl,tcp,reg5=0xb,nw_src=10.0.0.9,tp_dst=22 actions=conjunction(8,1/2),conjunction(9,2/2)',
  'table=82,priority=70,conj_id=8,ct_state=+est-rel-rpl,ip,reg5=0xb actions=load:0x8->NXM_NX_REG7[],output:11',
  'table=82,priority=70,conj_id=9,ct_state=+new-est,ip,reg5=0xb actions=ct(commit,zone=NXM_NX_REG6[0..15]),output:11',
  'table=82,priority=70,ct_zone=7,ct_mark=0x2/0x2,ip,reg5=0xb,nw_proto=47 actions=output:11',
  'table=82,priority=77,ct_state=-rel-rpl-inv+trk,ct_nw_src=10.0.0.0/8,ct_nw_dst=10.0.0.9,ct_nw_proto=17,ct_tp_src=67,ct_tp_dst=0x32/0xfffe,udp,reg5=0xc,nw_frag=yes actions=resubmit(,92)',
  'table=82,priority=77,ct_state=+est-rel+rpl+trk,ct_ipv6_src=fd00::/64,ct_ipv6_dst=fd00::9,ct_nw_proto=58,ct_tp_src=128,ct_tp_dst=0,icmp6,reg5=0xc,nw_frag=later actions=resubmit(,92)',
  'table=94,priority=12,reg6=0x1,dl_dst=fa:16:3e:00:00:02 actions=output:12',
  'table=94,priority=10,reg6=0x1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=push_vlan:0x8100,set_field:4097->vlan_vid,output:1,output:2,IN_PORT,LOCAL,ALL',
  'table=94,priority=1 actions=NORMAL',
  // br-tun
  'table=2,priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00 actions=resubmit(,20)',
  'table=4,priority=1,tun_id=0x7d0 actions=push_vlan:0x8100,set_field:4097->vlan_vid,resubmit(,10)',
  'table=10,priority=1 actions=learn(table=20,hard_timeout=300,priority=1,cookie=0xa1b2c3d4e5f60718,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[],load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:NXM_OF_IN_PORT[]),output:1',
  'table=10,priority=2 actions=learn(table=21,idle_timeout=10,fin_idle_timeout=1,fin_hard_timeout=2,delete_learned,eth_type=0x800,nw_proto=6,NXM_NX_REG0[0..3]=0x5,NXM_OF_ETH_SRC[],load:0x1->NXM_NX_REG1[0..15]),resubmit(,21)',
  'table=20,priority=2,dl_vlan=1,dl_dst=fa:16:3e:00:00:02 actions=strip_vlan,set_field:0x7d0->tun_id,output:3',
  'table=21,priority=1,arp,dl_vlan=1,arp_tpa=10.0.0.9 actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:00:00:02->eth_src,load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],load:0xfa163e000002->NXM_NX_ARP_SHA[],load:0xa000009->NXM_OF_ARP_SPA[],IN_PORT',
  'table=22,priority=1,dl_vlan=1 actions=strip_vlan,load:0x7d0->NXM_NX_TUN_ID[],output:3,output:4',
  'table=22,priority=0 actions=drop',
  // the rest of the language
  'table=30,priority=1,reg0=0x5/0xff,reg15=0,tun_src=192.0.2.1,tun_dst=192.0.2.2,metadata=0x1/0xffff actions=goto_table:31',
  'table=30,priority=2,tcp,nw_src=10.0.0.0/255.0.255.0,tcp_flags=+syn-ack actions=resubmit(3,31),resubmit:4',
  'table=30,priority=3,udp,nw_tos=184,nw_ecn=1,nw_ttl=64 actions=dec_ttl,set_field:10.0.0.1->ip_src,set_field:80->udp_dst,output:2',
  'table=30,priority=4,ip,nw_frag=later actions=ct_clear,output:NXM_NX_REG7[],output:NXM_NX_REG7[0..15]',
  'table=30,priority=5,sctp,tp_src=5,tp_dst=0x8000/0x8000 actions=set_queue:3,load:0x1->OXM_OF_METADATA[0..7],output:2',
  'table=30,priority=6,sctp6,tp_dst=7 actions=set_field:fd00::1->ipv6_dst,output:2',
  'table=30,priority=7,tcp6,ipv6_src=fd00::1,ipv6_dst=::ff/::ff actions=ct(commit,zone=5,nat(src=fd00::1-fd00::9),exec(load:0x5->NXM_NX_CT_MARK[0..7]))',
  'table=30,priority=8,ip actions=ct(table=31,zone=5,nat)',
  'table=30,priority=9,tcp actions=ct(commit,force,zone=5,nat(dst=10.0.0.4:8080)),FLOOD',
  'table=30,priority=10,tcp actions=ct(commit,nat(src=10.0.0.1-10.0.0.4:1024-2047,persistent,random),alg=ftp)',
  'table=30,priority=11,tcp6 actions=ct(commit,nat(dst=[fd00::5]:80,hash))',
  'table=30,priority=12,icmp,icmp_type=3,icmp_code=4 actions=CONTROLLER:65535',
  'table=30,priority=24,ip actions=controller(meter_id=3),load:0x1->NXM_NX_REG9[1],resubmit(,31)',
  'table=30,priority=13,icmp6,icmp_type=135,nd_target=fd00::1,nd_sll=fa:16:3e:00:00:01 actions=move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],output:1',
  'table=30,priority=14,icmp6,icmp_type=136,icmp_code=0,nd_tll=fa:16:3e:00:00:01 actions=drop',
  'table=30,priority=15,arp,arp_op=1,arp_sha=fa:16:3e:00:00:01,arp_tha=00:00:00:00:00:00 actions=drop',
  'table=30,priority=16,dl_type=0x88cc actions=drop',
  'table=30,priority=17,dl_vlan=5,dl_vlan_pcp=3 actions=drop',
  'table=30,priority=18,vlan_tci=0x1000/0x1000 actions=load:0x5->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1',
  'table=30,priority=19,vlan_tci=0x1004/0x1ffe actions=move:NXM_OF_VLAN_TCI[0..11]->NXM_NX_REG6[0..11],output:1',
  'table=30,priority=20,ct_label=0x10000000000000001/0xffff0000000000000001 actions=output:1',
  'table=30,priority=21,pkt_mark=0x1,ipv6,ipv6_label=0x12345 actions=load:0x1->NXM_NX_PKT_MARK[],output:1',
  'table=30,priority=22,rarp,dl_src=fa:16:3e:00:00:01 actions=drop',
  'table=30,priority=23,ct_state=+trk+snat-dnat actions=load:0x1->NXM_NX_XXREG0[64..127],load:0x3->NXM_NX_XXREG0[0..63]',
];

/** Samples written in another spelling than the canonical one. */
const OTHER: readonly FlowSample[] = [
  { line: 'actions=normal', key: 'table=0,priority=32768', actions: 'NORMAL' },
  {
    line: ' table=40, priority=1, in_port=0 ip nw_src=10.1.2.3/8 nw_proto=6 tp_dst=0x16 actions = output:5,  7 local',
    key: 'table=40,priority=1,tcp,in_port=0,nw_src=10.0.0.0/8,tp_dst=22',
    actions: 'output:5,output:7,LOCAL',
  },
  { line: 'table=40,priority=2,dl_vlan=0xffff,actions=mod_vlan_vid:5', key: 'table=40,priority=2,vlan_tci=0x0000/0x1fff', actions: 'push_vlan:0x8100,set_field:4101->vlan_vid' },
  { line: 'table=40,priority=3,vlan_vid=0x1005,actions=mod_vlan_vid:6,output:1', key: 'table=40,priority=3,dl_vlan=5', actions: 'set_field:4102->vlan_vid,output:1' },
  { line: 'table=40,priority=4,vlan_tci=0,actions=output:1', key: 'table=40,priority=4,vlan_tci=0x0000/0x1fff', actions: 'output:1' },
  { line: 'table=40,priority=5,tunnel_id=7,dl_vlan=1,actions=set_tunnel:8,pop_vlan,mod_vlan_vid:2,output:1', key: 'table=40,priority=5,tun_id=0x7,dl_vlan=1', actions: 'set_field:0x8->tun_id,strip_vlan,push_vlan:0x8100,set_field:4098->vlan_vid,output:1' },
  { line: 'table=40,priority=6,eth_type=0x806,nw_src=10.0.0.1,nw_proto=2,actions=drop', key: 'table=40,priority=6,arp,arp_spa=10.0.0.1,arp_op=2', actions: 'drop' },
  {
    line: 'table=40,priority=7,icmp6,icmpv6_type=135,reg3=10,ct_state=+trk,actions=set_field:0x30/0xf0->reg1,set_field:7->reg2,mod_dl_dst:FA:16:3E:00:00:01',
    key: 'table=40,priority=7,ct_state=+trk,icmp6,reg3=0xa,icmp_type=135',
    actions: 'load:0x3->NXM_NX_REG1[4..7],set_field:0x7->reg2,set_field:fa:16:3e:00:00:01->eth_dst',
  },
  { line: 'table=40,priority=8,udp,udp_src=0/0,udp_dst=53,actions=load:5->reg5[0..15],move:reg1->reg2', key: 'table=40,priority=8,udp,tp_dst=53', actions: 'load:0x5->NXM_NX_REG5[0..15],move:NXM_NX_REG1[]->NXM_NX_REG2[]' },
  { line: 'table=40,priority=9,ipv6,ipv6_src=FD00:0::1/ffff:ffff::,actions=resubmit(,41) , goto_table:41', key: 'table=40,priority=9,ipv6,ipv6_src=fd00::/32', actions: 'resubmit(,41),goto_table:41' },
  { line: 'table=40,priority=10,in_port=65534,actions=in_port', key: 'table=40,priority=10,in_port=LOCAL', actions: 'IN_PORT' },
  { line: 'table=40,priority=11,ip,actions=ct(exec(set_field:0x1->ct_mark),commit,zone=0)', key: 'table=40,priority=11,ip', actions: 'ct(commit,exec(set_field:0x1->ct_mark))' },
];

export const FLOW_SAMPLES: readonly FlowSample[] = [
  ...SAME.map((line) => {
    const [key, actions] = line.split(' actions=') as [string, string];
    return { line, key, actions };
  }),
  ...OTHER,
];
