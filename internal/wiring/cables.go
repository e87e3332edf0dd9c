package wiring

import (
	"strings"

	"hedgerow"
)

// An End is one end of a cable: a port of a device.
type End struct {
	Role   string // as the Connection calls it: switch, spine, leaf1, server…
	Device string
	Port   string
}

// A Cable is one cable of a Connection. Without B it leads from a port out of
// what the fabric knows, to an edge router for instance.
type Cable struct{ A, B End }

// Cables returns the cables that a Connection describes, whatever its type,
// those of releases to come included: each of its links names one or two ports
// as "device/port", under a key that says what the device is there.
func Cables(v Tree) []Cable {
	root, _ := v.(map[string]any)
	var all []Cable
	cables(root["spec"], &all)
	return all
}

func cables(v Tree, all *[]Cable) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			cables(e, all)
		}
	case map[string]any:
		var ends []End
		for _, key := range sortedKeys(v) {
			m, _ := v[key].(map[string]any)
			if text, ok := m["port"].(string); ok && text != "" {
				device, port, _ := strings.Cut(text, "/")
				ends = append(ends, End{key, device, port})
			}
		}
		switch len(ends) {
		case 0:
			for _, key := range sortedKeys(v) {
				cables(v[key], all)
			}
		case 1:
			*all = append(*all, Cable{A: ends[0]})
		default:
			*all = append(*all, Cable{ends[0], ends[1]})
		}
	}
}

// Tier is where a device stands in a Clos network, from the outside in.
type Tier int

// The tiers.
const (
	Edge  Tier = iota // gateways, and what is outside
	Spine             // switches between leaves
	Leaf              // switches that servers are plugged into
	Host              // servers
)

// A Device is something that cables are plugged into.
type Device struct {
	Tier        Tier
	Role        string // of a switch: spine, server-leaf, border-leaf…
	Group       string // of switches that stand in for each other
	Description string
}

// ReadDevice reads an object as a device; ok is false for kinds that are none.
func ReadDevice(id hedgerow.KindID, v Tree) (d Device, ok bool) {
	root, _ := v.(map[string]any)
	spec, _ := root["spec"].(map[string]any)
	d.Description, _ = spec["description"].(string)
	switch id.Kind {
	case "Switch":
		d.Role, _ = spec["role"].(string)
		d.Tier = Leaf
		if d.Role == "spine" {
			d.Tier = Spine
		}
		redundancy, _ := spec["redundancy"].(map[string]any)
		d.Group, _ = redundancy["group"].(string)
	case "Server":
		d.Tier = Host
	case "Gateway", "External":
		d.Tier = Edge
	default:
		return Device{}, false
	}
	return d, true
}

// Attachment reads an ExternalAttachment: which External is behind which
// Connection.
func Attachment(id hedgerow.KindID, v Tree) (connection, external string, ok bool) {
	if id.Kind != "ExternalAttachment" {
		return "", "", false
	}
	root, _ := v.(map[string]any)
	spec, _ := root["spec"].(map[string]any)
	connection, _ = spec["connection"].(string)
	external, _ = spec["external"].(string)
	return connection, external, connection != "" && external != ""
}

// Drawn reports whether objects of a kind are devices, or say what is plugged
// into what.
func Drawn(id hedgerow.KindID) bool {
	_, device := ReadDevice(id, nil)
	return device || IsConnection(id) || id.Kind == "ExternalAttachment"
}

// IsConnection reports whether objects of a kind describe cables.
func IsConnection(id hedgerow.KindID) bool { return id.Kind == "Connection" }
