package generate

import (
	"net/netip"
	"strings"
)

// demoTenants returns one or two of everything that tenants have. The VPCs attach to servers of the given connections;
// edge names the connection to the outside.
func demoTenants(connections []*connection, edge string) []Object {
	served := map[string]string{}
	for _, c := range connections {
		if first := c.devices()[0]; first.class == server {
			served[first.name] = c.name
		}
	}
	var objects []Object
	attach := func(vpcName, subnet, server string, native bool) {
		objects = append(objects, attachment(vpcName, subnet, served[server], native))
	}
	objects = append(objects,
		object("ServerProfile", "dual-nic", nil, map[string]any{"nics": []any{map[string]any{
			"name":  "nic0",
			"ports": []any{map[string]any{"name": "enp2s1"}, map[string]any{"name": "enp2s2"}},
		}}}),
		vpc("vpc-01", map[string]any{
			"default": dhcpSubnet("10.0.1.0/24", 1001, "1.1.1.1", "8.8.8.8"),
			"app":     plainSubnet("10.0.11.0/24", 1011),
		}),
		vpc("vpc-02", map[string]any{"default": dhcpSubnet("10.0.2.0/24", 1002)}),
		vpc("vpc-03", map[string]any{"default": plainSubnet("10.0.3.0/24", 1003)}),
		vpcPeering("vpc-01", "vpc-02"),
		external("ext-bgp-01", "65102:1000", "64102:1000"),
		externalAttachment("ext-bgp-01", edge),
		externalPeering("vpc-01", "ext-bgp-01", "app", "default"),
		object("GatewayGroup", "default", nil, map[string]any{}),
		gatewayPeering(),
	)
	attach("vpc-01", "default", "server-01", false)
	attach("vpc-01", "app", "server-01", false)
	attach("vpc-01", "default", "server-02", false)
	attach("vpc-02", "default", "server-03", true)
	attach("vpc-02", "default", "server-04", false)
	attach("vpc-03", "default", "server-05", false)
	return objects
}

func vpc(name string, subnets map[string]any) Object {
	labels := map[string]any{labelIPv4Namespace: "default", labelVLANNamespace: "default"}
	spec := map[string]any{"ipv4Namespace": "default", "vlanNamespace": "default", "subnets": subnets}
	return object("VPC", name, labels, spec)
}

// plainSubnet is a subnet without DHCP, whose gateway is its first host, as admission fills it in.
func plainSubnet(cidr string, vlan int64) map[string]any {
	first := netip.MustParsePrefix(cidr).Addr().Next()
	return map[string]any{"dhcp": map[string]any{}, "gateway": first.String(), "subnet": cidr, "vlan": vlan}
}

// dhcpSubnet hands out every address but the first ten of a /24, up to the broadcast address: admission defaults to that.
func dhcpSubnet(cidr string, vlan int64, dnsServers ...string) map[string]any {
	subnet := plainSubnet(cidr, vlan)
	network := strings.TrimSuffix(cidr, ".0/24")
	dhcp := map[string]any{
		"enable": true,
		"range":  map[string]any{"start": network + ".10", "end": network + ".255"},
	}
	if len(dnsServers) > 0 {
		dhcp["options"] = map[string]any{
			"dnsServers":       list(dnsServers...),
			"interfaceMTU":     int64(9036),
			"leaseTimeSeconds": int64(3600),
			"timeServers":      []any{},
		}
	}
	subnet["dhcp"] = dhcp
	return subnet
}

func attachment(vpcName, subnet, connection string, native bool) Object {
	labels := map[string]any{labelConnection: connection, labelSubnet: subnet, labelVPC: vpcName}
	spec := map[string]any{"connection": connection, "subnet": vpcName + "/" + subnet}
	if native {
		labels[labelNativeVLAN] = "true"
		spec["nativeVLAN"] = true
	}
	return object("VPCAttachment", vpcName+"--"+subnet+"--"+connection, labels, spec)
}

func vpcPeering(a, b string) Object {
	labels := map[string]any{labelVPC1: a, labelVPC2: b, labelOfVPC + a: "true", labelOfVPC + b: "true"}
	permit := map[string]any{a: map[string]any{}, b: map[string]any{}}
	return object("VPCPeering", a+"--"+b, labels, map[string]any{"permit": []any{permit}})
}

func external(name, inbound, outbound string) Object {
	return object("External", name, map[string]any{labelIPv4Namespace: "default"}, map[string]any{
		"inboundCommunity":  inbound,
		"outboundCommunity": outbound,
		"ipv4Namespace":     "default",
	})
}

func externalAttachment(externalName, connection string) Object {
	near, _, _ := strings.Cut(connection, "--")
	labels := map[string]any{labelConnection: connection, labelExternal: externalName}
	return object("ExternalAttachment", near+"--"+externalName, labels, map[string]any{
		"connection": connection,
		"external":   externalName,
		"neighbor":   map[string]any{"asn": int64(64102), "ip": "100.1.10.6"},
		"switch":     map[string]any{"ip": "100.1.10.1/24", "vlan": int64(10)},
	})
}

func externalPeering(vpcName, externalName string, subnets ...string) Object {
	labels := map[string]any{labelExternal: externalName, labelVPC: vpcName}
	return object("ExternalPeering", vpcName+"--"+externalName, labels, map[string]any{"permit": map[string]any{
		"external": map[string]any{"name": externalName, "prefixes": []any{map[string]any{"prefix": "0.0.0.0/0"}}},
		"vpc":      map[string]any{"name": vpcName, "subnets": list(subnets...)},
	}})
}

// gatewayPeering lets vpc-03 reach vpc-02 behind one address, but not its mail port.
func gatewayPeering() Object {
	labels := map[string]any{labelOfPeeringSide + "vpc-02": "true", labelOfPeeringSide + "vpc-03": "true"}
	masquerade := map[string]any{"masquerade": map[string]any{"idleTimeout": "2m0s"}}
	cidr := func(c string) []any { return []any{map[string]any{"cidr": c}} }
	o := object("GatewayPeering", "vpc-02--vpc-03", labels, map[string]any{
		"acl": map[string]any{"default": "deny-unless-exposed", "rules": []any{map[string]any{
			"action": "deny",
			"from":   "vpc-03",
			"match":  map[string]any{"dst": []any{map[string]any{"ports": []any{"25"}}}, "proto": "tcp"},
			"name":   "no-smtp",
			"scope":  "flow",
		}}},
		"gatewayGroup": "default",
		"peering": map[string]any{
			"vpc-02": map[string]any{"expose": []any{map[string]any{"ips": cidr("10.0.2.0/24")}}},
			"vpc-03": map[string]any{"expose": []any{map[string]any{
				"as":  cidr("192.168.33.1/32"),
				"ips": cidr("10.0.3.0/24"),
				"nat": masquerade,
			}}},
		},
	})
	annotate(o, annotationVPCs, "vpc-02,vpc-03")
	annotate(o, annotationNAT, "masquerade")
	return o
}
