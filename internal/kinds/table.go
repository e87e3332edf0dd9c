package kinds

import "hedgerow"

const (
	wiring     = "wiring" + hedgerow.GroupSuffix
	vpcGroup   = "vpc" + hedgerow.GroupSuffix
	gwGroup    = "gateway" + hedgerow.GroupSuffix
	gwint      = "gwint" + hedgerow.GroupSuffix
	agentGroup = "agent" + hedgerow.GroupSuffix
	dhcp       = "dhcp" + hedgerow.GroupSuffix
	fabricator = "fabricator" + hedgerow.GroupSuffix
)

var (
	switches       = hedgerow.KindID{Group: wiring, Kind: "Switch"}
	servers        = hedgerow.KindID{Group: wiring, Kind: "Server"}
	connection     = hedgerow.KindID{Group: wiring, Kind: "Connection"}
	switchGroup    = hedgerow.KindID{Group: wiring, Kind: "SwitchGroup"}
	vlanNamespace  = hedgerow.KindID{Group: wiring, Kind: "VLANNamespace"}
	switchProfile  = hedgerow.KindID{Group: wiring, Kind: "SwitchProfile"}
	serverProfile  = hedgerow.KindID{Group: wiring, Kind: "ServerProfile"}
	ipv4Namespace  = hedgerow.KindID{Group: vpcGroup, Kind: "IPv4Namespace"}
	vpc            = hedgerow.KindID{Group: vpcGroup, Kind: "VPC"}
	vpcAttachment  = hedgerow.KindID{Group: vpcGroup, Kind: "VPCAttachment"}
	vpcPeering     = hedgerow.KindID{Group: vpcGroup, Kind: "VPCPeering"}
	external       = hedgerow.KindID{Group: vpcGroup, Kind: "External"}
	extAttachment  = hedgerow.KindID{Group: vpcGroup, Kind: "ExternalAttachment"}
	extPeering     = hedgerow.KindID{Group: vpcGroup, Kind: "ExternalPeering"}
	gateway        = hedgerow.KindID{Group: gwGroup, Kind: "Gateway"}
	gatewayGroup   = hedgerow.KindID{Group: gwGroup, Kind: "GatewayGroup"}
	gatewayPeering = hedgerow.KindID{Group: gwGroup, Kind: "GatewayPeering"}
	vpcInfo        = hedgerow.KindID{Group: gwGroup, Kind: "VPCInfo"}
	gatewayAgent   = hedgerow.KindID{Group: gwint, Kind: "GatewayAgent"}
	agent          = hedgerow.KindID{Group: agentGroup, Kind: "Agent"}
	catalog        = hedgerow.KindID{Group: agentGroup, Kind: "Catalog"}
	dhcpSubnet     = hedgerow.KindID{Group: dhcp, Kind: "DHCPSubnet"}
	fabricatorKind = hedgerow.KindID{Group: fabricator, Kind: "Fabricator"}
	controlNode    = hedgerow.KindID{Group: fabricator, Kind: "ControlNode"}
	fabNode        = hedgerow.KindID{Group: fabricator, Kind: "FabNode"}
)

// port refers to a device by a text "device/port".
func port(path string, to hedgerow.KindID) hedgerow.Reference {
	return hedgerow.Reference{Path: path, To: to, Part: hedgerow.BeforeSlash}
}

func name(path string, to hedgerow.KindID) hedgerow.Reference {
	return hedgerow.Reference{Path: path, To: to}
}

// table follows githedgehog/fabric, releases 24.09 to 26.03. Order is the
// safe order of creation; deletion is the reverse.
var table = map[hedgerow.KindID]Overlay{
	vlanNamespace: {Ownership: hedgerow.Authored, Order: 10},
	ipv4Namespace: {Ownership: hedgerow.Authored, Order: 11},
	switchGroup:   {Ownership: hedgerow.Authored, Order: 12},
	serverProfile: {Ownership: hedgerow.Authored, Order: 13},
	switches: {Ownership: hedgerow.Authored, Order: 20, References: []hedgerow.Reference{
		name("spec.profile", switchProfile),
		name("spec.groups.*", switchGroup),
		name("spec.redundancy.group", switchGroup),
		name("spec.vlanNamespaces.*", vlanNamespace),
	}},
	servers: {Ownership: hedgerow.Authored, Order: 21, References: []hedgerow.Reference{
		name("spec.profile", serverProfile),
	}},
	// "**" covers link, links, peerLinks and sessionLinks of every type,
	// including types of releases to come.
	connection: {Ownership: hedgerow.Authored, Order: 30, References: []hedgerow.Reference{
		port("spec.**.switch.port", switches),
		port("spec.**.switch1.port", switches),
		port("spec.**.switch2.port", switches),
		port("spec.**.spine.port", switches),
		port("spec.**.leaf.port", switches),
		port("spec.**.leaf1.port", switches),
		port("spec.**.leaf2.port", switches),
		port("spec.**.server.port", servers),
		port("spec.**.gateway.port", gateway),
		name("spec.staticExternal.withinVPC", vpc),
	}},
	vpc: {Ownership: hedgerow.Authored, Order: 40, References: []hedgerow.Reference{
		name("spec.ipv4Namespace", ipv4Namespace),
		name("spec.vlanNamespace", vlanNamespace),
		name("spec.subnets.*.dhcp.relayVPC", vpc),
	}},
	external: {Ownership: hedgerow.Authored, Order: 41, References: []hedgerow.Reference{
		name("spec.ipv4Namespace", ipv4Namespace),
	}},
	vpcAttachment: {Ownership: hedgerow.Authored, Order: 50, References: []hedgerow.Reference{
		port("spec.subnet", vpc),
		name("spec.connection", connection),
	}},
	extAttachment: {Ownership: hedgerow.Authored, Order: 51, References: []hedgerow.Reference{
		name("spec.external", external),
		name("spec.connection", connection),
	}},
	vpcPeering: {Ownership: hedgerow.Authored, Order: 60, References: []hedgerow.Reference{
		name("spec.permit.*.@", vpc),
	}},
	extPeering: {Ownership: hedgerow.Authored, Order: 61, References: []hedgerow.Reference{
		name("spec.permit.vpc.name", vpc),
		name("spec.permit.external.name", external),
	}},
	gatewayGroup: {Ownership: hedgerow.Authored, Order: 70},
	gateway: {Ownership: hedgerow.Authored, Order: 80, References: []hedgerow.Reference{
		name("spec.groups.*.name", gatewayGroup),
	}},
	gatewayPeering: {Ownership: hedgerow.Authored, Order: 90, References: []hedgerow.Reference{
		name("spec.gatewayGroup", gatewayGroup),
		{Path: "spec.peering.@", To: vpc, Part: hedgerow.NoPrefix},
		{Path: "spec.peering.@", To: external, Part: hedgerow.AfterPrefix},
	}},

	switchProfile: {Ownership: hedgerow.Generated},
	catalog:       {Ownership: hedgerow.Generated},
	vpcInfo: {Ownership: hedgerow.Generated, References: []hedgerow.Reference{
		{Path: "metadata.name", To: vpc, Part: hedgerow.NoPrefix},
		{Path: "metadata.name", To: external, Part: hedgerow.AfterPrefix},
	}},
	dhcpSubnet: {Ownership: hedgerow.Generated, References: []hedgerow.Reference{
		port("spec.subnet", vpc),
	}},
	agent: {Ownership: hedgerow.Generated, Rule: agentRule, References: []hedgerow.Reference{
		name("metadata.name", switches),
	}},
	gatewayAgent: {Ownership: hedgerow.Generated, Rule: gatewayAgentRule, References: []hedgerow.Reference{
		name("metadata.name", gateway),
	}},

	// The installer's kinds carry join tokens, password hashes and registry
	// credentials in their spec: only what is listed is stored.
	fabricatorKind: {Ownership: hedgerow.Installed, Rule: hedgerow.ContentRule{Keep: []string{"status.**"}}},
	controlNode:    {Ownership: hedgerow.Installed, Rule: hedgerow.ContentRule{Keep: []string{"spec.management.ip", "status.**"}}},
	fabNode:        {Ownership: hedgerow.Installed, Rule: hedgerow.ContentRule{Keep: []string{"spec.roles.*", "spec.management.ip", "status.**"}}},
}
