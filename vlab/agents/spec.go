package agents

import "strings"

// agentVersion is the release of the fabric that the machines pretend to run.
const agentVersion = "v0.126.0"

func (w wiring) describeSwitch(d dice, s item) description {
	name := s.Metadata.Name
	u := unit{
		name: name, dice: d, spec: s.Spec, ports: w.ports[name], wiring: w,
	}
	return description{
		home: agentHome, name: name, annotations: ofHedgehog(s.Metadata.Annotations),
		spec: w.agentSpec(s), report: u.status,
	}
}

// agentSpec renders what one switch is told: itself, its neighbours, its connections and what the whole fabric shares.
func (w wiring) agentSpec(s item) map[string]any {
	name := s.Metadata.Name
	neighbours := map[string]any{name: s.Spec}
	var peers []any
	for _, p := range w.ports[name] {
		if n, isSwitch := w.switches[p.peer]; isSwitch {
			neighbours[p.peer] = n.Spec
		}
	}
	for _, other := range w.groups[text(s.Spec, "redundancy", "group")] {
		if other != name {
			peers = append(peers, other)
		}
	}
	connections := map[string]any{}
	for _, c := range w.connections[name] {
		connections[c.Metadata.Name] = c.Spec
	}
	spec := map[string]any{
		"role":        text(s.Spec, "role"),
		"description": text(s.Spec, "description"),
		"switch":      s.Spec,
		"switches":    neighbours,
		"connections": connections,
		"switchProfile": map[string]any{
			"displayName": "Virtual Switch", "nosType": "sonic-bcm-vs", "platform": "x86_64-kvm_x86_64-r0",
		},
		"users":   users(),
		"version": version(),
		"config":  fabricConfig(name),
	}
	if peers != nil {
		spec["redundancyGroupPeers"] = peers
	}
	return spec
}

// users are the accounts on a switch. Real agents carry real hashes here, which is why nobody may store a spec.
func users() []any {
	return []any{
		map[string]any{
			"name": "admin", "role": "admin",
			"password": "$5$" + Canary + "$admin-password-hash",
			"sshKeys":  []any{"ssh-ed25519 AAAA" + Canary + "-admin-key admin@example.invalid"},
		},
		map[string]any{"name": "op", "role": "operator", "password": "$5$" + Canary + "$operator-password-hash"},
	}
}

// version says where the switch finds its next agent, with the credentials of that registry.
func version() map[string]any {
	return map[string]any{
		"default":      agentVersion,
		"repo":         "172.30.0.1:31000/githedgehog/fabric/agent",
		"alloyRepo":    "172.30.0.1:31000/githedgehog/fabricator/alloy-bin",
		"alloyVersion": "v1.11.0",
		"ca":           "-----BEGIN CERTIFICATE-----\n" + Canary + "-registry-ca\n-----END CERTIFICATE-----\n",
		"username":     "registry-reader",
		"password":     Canary + "-registry-password",
	}
}

func fabricConfig(hostname string) map[string]any {
	return map[string]any{
		"deploymentID":          "vlab",
		"controlVIP":            "172.30.0.1/32",
		"baseVPCCommunity":      "50000:0",
		"fabricMTU":             9100,
		"serverFacingMTUOffset": 64,
		"spineASN":              65100,
		"gatewayASN":            65534,
		"protocolSubnet":        "172.30.8.0/22",
		"vtepSubnet":            "172.30.12.0/22",
		"fabricSubnet":          "172.30.128.0/17",
		"spineLeaf":             map[string]any{},
		"alloy": map[string]any{
			"hostname": hostname,
			"targets": map[string]any{"prometheus": map[string]any{"upstream": map[string]any{
				"url":         "https://metrics.example.invalid/api/v1/push",
				"basicAuth":   map[string]any{"username": "vlab", "password": Canary + "-metrics-password"},
				"bearerToken": Canary + "-metrics-token",
			}}},
		},
	}
}

// ofHedgehog keeps the annotations that the controller copies from a switch to its agent.
func ofHedgehog(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range annotations {
		if strings.Contains(key, "githedgehog.com/") {
			kept[key] = value
		}
	}
	return kept
}
