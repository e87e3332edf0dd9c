package hedgerow

import (
	"math"
	"regexp"
	"strings"
	"time"
)

// A Fabric is one Hedgehog installation: a cluster and the policy for it. It
// is the unit of isolation: nothing that happens to one fabric may cost
// another anything.
type Fabric struct {
	ID        int64
	Name      string   // unique; see ValidFabricName
	Cluster   *Cluster // nil until a cluster has been configured
	Policy    Policy
	Suspended bool
	// Version counts the commits that changed this fabric's data. It is
	// raised in the same transaction as the data.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// A Cluster says where a fabric's Kubernetes API is. It holds nothing secret:
// what proves who we are is kept apart, sealed, and never leaves the store but
// to connect.
type Cluster struct {
	Server        string // https://host:port, without user or password
	Namespace     string // the namespace observed; "" means all of them
	TLSServerName string // name expected in the certificate, when it is not the host
	Insecure      bool   // true: the server's certificate is not verified
	Auth          string // how we sign in: token, certificate, basic or none
	Context       string // the kubeconfig context that this came from, if any
}

// Trusted reports whether what the cluster says reaches us as it was said:
// encrypted, from a server whose certificate is verified.
func (c Cluster) Trusted() bool { return strings.HasPrefix(c.Server, "https://") && !c.Insecure }

// Policy holds what may differ from fabric to fabric. The zero value of a
// field means its default; [Policy.WithDefaults] fills them in.
type Policy struct {
	Interval       time.Duration `json:"interval,omitempty"`       // between passes; Manual: only on request
	ConnectTimeout time.Duration `json:"connectTimeout,omitempty"` // TCP and TLS each
	RequestTimeout time.Duration `json:"requestTimeout,omitempty"` // until the first byte of an answer, and between signs of progress after it
	PassTimeout    time.Duration `json:"passTimeout,omitempty"`    // one whole pass
	QPS            float64       `json:"qps,omitempty"`            // requests a second to this cluster
	Burst          int           `json:"burst,omitempty"`          // requests that may go ahead of QPS
	PageSize       int           `json:"pageSize,omitempty"`       // objects a LIST page; 0: whole lists
	MaxDeleteShare float64       `json:"maxDeleteShare,omitempty"` // a pass that finds more than this share gone stops and asks
	MaxDeleteFloor int           `json:"maxDeleteFloor,omitempty"` // ... unless fewer than this many are gone
	Exclude        []string      `json:"exclude,omitempty"`        // plurals (with or without ".group") that are not observed
	Mode           Mode          `json:"mode,omitempty"`           // how changes are seen between passes
}

// Mode says how the changes of a fabric are seen.
type Mode string

// The modes.
const (
	Watch Mode = "watch" // as they happen, and by passes
	Poll  Mode = "poll"  // by passes only
)

// Manual is the interval of a fabric that is observed on request only.
const Manual time.Duration = -1

// DefaultPolicy is what a new fabric gets. The limits are those of DESIGN P4
// and P5; client-go's own default of 5 requests a second would cost seconds a
// pass.
var DefaultPolicy = Policy{
	Interval:       300 * time.Second,
	ConnectTimeout: 5 * time.Second,
	RequestTimeout: 30 * time.Second,
	PassTimeout:    10 * time.Minute,
	QPS:            50,
	Burst:          100,
	MaxDeleteShare: 0.5,
	MaxDeleteFloor: 10,
	Mode:           Watch,
}

// WithDefaults returns p with every unset field filled from [DefaultPolicy].
func (p Policy) WithDefaults() Policy {
	d := DefaultPolicy
	or := func(v, def time.Duration) time.Duration {
		if v == 0 {
			return def
		}
		return v
	}
	p.Interval = or(p.Interval, d.Interval)
	p.ConnectTimeout = or(p.ConnectTimeout, d.ConnectTimeout)
	p.RequestTimeout = or(p.RequestTimeout, d.RequestTimeout)
	p.PassTimeout = or(p.PassTimeout, d.PassTimeout)
	if p.QPS == 0 {
		p.QPS = d.QPS
	}
	if p.Burst == 0 {
		p.Burst = d.Burst
	}
	if p.MaxDeleteShare == 0 {
		p.MaxDeleteShare = d.MaxDeleteShare
	}
	if p.MaxDeleteFloor == 0 {
		p.MaxDeleteFloor = d.MaxDeleteFloor
	}
	if p.Mode == "" {
		p.Mode = d.Mode
	}
	return p
}

// Validate says what is wrong with p, after WithDefaults.
func (p Policy) Validate() error {
	switch {
	case p.Interval != Manual && (p.Interval < 30*time.Second || p.Interval > 24*time.Hour):
		return Errorf(CodeInvalid, "interval %s is out of range: use 30s to 24h, or manual", p.Interval)
	case p.ConnectTimeout < 0 || p.RequestTimeout < 0 || p.PassTimeout < 0:
		return Errorf(CodeInvalid, "a timeout must be positive")
	case !(p.QPS > 0) || math.IsInf(p.QPS, 0) || p.Burst < 0: // written so that NaN is refused
		return Errorf(CodeInvalid, "qps and burst must be positive")
	case p.PageSize < 0:
		return Errorf(CodeInvalid, "page size must be 0 (whole lists) or more")
	case !(p.MaxDeleteShare >= 0 && p.MaxDeleteShare <= 1):
		return Errorf(CodeInvalid, "max delete share %g is out of range: use 0 to 1", p.MaxDeleteShare)
	case p.Mode != Watch && p.Mode != Poll:
		return Errorf(CodeInvalid, "mode %q: use watch or poll", p.Mode)
	case p.MaxDeleteFloor < 0:
		return Errorf(CodeInvalid, "max delete floor must be positive")
	}
	return nil
}

var fabricName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// ValidFabricName says what is wrong with a name for a fabric: it must be a
// lower-case DNS label or dotted name of at most 63 characters, so that it can
// stand in URLs, metrics and shell commands as it is.
func ValidFabricName(name string) error {
	if len(name) > 63 || !fabricName.MatchString(name) {
		return Errorf(CodeInvalid, "fabric name %q: use 1 to 63 lower-case letters, digits, '-' or '.', with a letter or digit at both ends and beside every '.'", name)
	}
	return nil
}
