package generate

import "slices"

const (
	wiringV1Beta1   = "wiring.githedgehog.com/v1beta1"
	vpcV1Beta1      = "vpc.githedgehog.com/v1beta1"
	gatewayV1Alpha1 = "gateway.githedgehog.com/v1alpha1"
)

// kinds are the kinds that people author, in the order in which their objects can be created.
var kinds = []struct{ kind, apiVersion string }{
	{"VLANNamespace", wiringV1Beta1},
	{"IPv4Namespace", vpcV1Beta1},
	{"SwitchGroup", wiringV1Beta1},
	{"ServerProfile", wiringV1Beta1},
	{"Switch", wiringV1Beta1},
	{"Server", wiringV1Beta1},
	{"Connection", wiringV1Beta1},
	{"VPC", vpcV1Beta1},
	{"External", vpcV1Beta1},
	{"VPCAttachment", vpcV1Beta1},
	{"ExternalAttachment", vpcV1Beta1},
	{"VPCPeering", vpcV1Beta1},
	{"ExternalPeering", vpcV1Beta1},
	{"GatewayGroup", gatewayV1Alpha1},
	{"Gateway", gatewayV1Alpha1},
	{"GatewayPeering", gatewayV1Alpha1},
}

// Labels that the webhooks write. A key that ends in a slash takes the name of what it refers to, with the value "true".
const (
	labelConnectionType = "fabric.githedgehog.com/connection-type"
	labelProfile        = "fabric.githedgehog.com/profile"
	labelIPv4Namespace  = "fabric.githedgehog.com/ipv4ns"
	labelVLANNamespace  = "fabric.githedgehog.com/vlanns"
	labelVPC            = "fabric.githedgehog.com/vpc"
	labelVPC1           = "fabric.githedgehog.com/vpc1"
	labelVPC2           = "fabric.githedgehog.com/vpc2"
	labelSubnet         = "fabric.githedgehog.com/subnet"
	labelNativeVLAN     = "fabric.githedgehog.com/nativevlan"
	labelConnection     = "fabric.githedgehog.com/connection"
	labelExternal       = "fabric.githedgehog.com/external"
	labelOfSwitch       = "switch.fabric.githedgehog.com/"
	labelOfServer       = "server.fabric.githedgehog.com/"
	labelOfGroup        = "switchgroup.fabric.githedgehog.com/"
	labelOfVLANs        = "vlanns.fabric.githedgehog.com/"
	labelOfVPC          = "vpc.fabric.githedgehog.com/"
	labelOfPeeringSide  = "vpc.gateway.githedgehog.com/"

	annotationSwitches = "fabric.githedgehog.com/switches"
	annotationServers  = "fabric.githedgehog.com/servers"
	annotationVPCs     = "gateway.githedgehog.com/vpcs"
	annotationNAT      = "gateway.githedgehog.com/nat"
)

// object puts a spec under its identity. The kind is one of [kinds].
func object(kind, name string, labels map[string]any, spec map[string]any) Object {
	metadata := map[string]any{"name": name, "namespace": "default"}
	if len(labels) > 0 {
		metadata["labels"] = labels
	}
	return Object{"apiVersion": kinds[rankOf(kind)].apiVersion, "kind": kind, "metadata": metadata, "spec": spec}
}

func annotate(o Object, key, value string) {
	metadata := o["metadata"].(map[string]any)
	all, found := metadata["annotations"].(map[string]any)
	if !found {
		all = map[string]any{}
		metadata["annotations"] = all
	}
	all[key] = value
}

func nameOf(o Object) string { return o["metadata"].(map[string]any)["name"].(string) }

func rank(o Object) int { return rankOf(o["kind"].(string)) }

func rankOf(kind string) int {
	for i, k := range kinds {
		if k.kind == kind {
			return i
		}
	}
	panic("generate: not an authored kind: " + kind)
}

// list turns names into a JSON array.
func list(names ...string) []any {
	values := make([]any, 0, len(names))
	for _, name := range slices.Sorted(slices.Values(names)) {
		values = append(values, name)
	}
	return values
}
