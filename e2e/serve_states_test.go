package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"hedgerow/e2e/lab"
	"hedgerow/e2e/wire"
)

// soon is ample time for what is to happen at once, and byPass for what is to be
// found out by the next pass, also by one after two that failed. A machine that
// is busy with other tests is slow: nothing is said here of how long it takes.
const (
	soon   = time.Minute
	byPass = time.Minute + soon
)

// Out of sync needs a repository to differ from. There is none yet, so no walk
// here leads there.

// well is how a fabric stands that nothing ails, with so many objects.
func well(objects int) want {
	return want{
		badge: "In sync", sentence: fmt.Sprintf("%d objects read from the cluster AGE ago.", objects), objects: objects,
		facets: map[string]string{
			"connection":  "ok: Every kind was read in the last run.",
			"observation": "fresh: The last complete reading is AGE old; changes since then come in as they happen.",
			"drift":       "none",
			"schedule":    "waiting: A reading is due every 30s: the next in AGE.",
			"follow":      "following: Changes have been coming in as they happen for AGE.",
		},
		conditions: map[string]string{
			"Ready": "+InSync", "Reconciling": "-Idle", "Stalled": "-NotStalled", "Scheduled": "+Waiting", "Followed": "+Following", "Degraded": "",
		},
	}
}

// ill is how a fabric stands whose last pass failed, for a reason of which a
// person must know or not.
func ill(connection, sentence, schedule, stalled string, objects int) want {
	return want{
		badge: "Error", sentence: sentence, objects: objects,
		facets: map[string]string{"connection": connection + ": " + sentence, "schedule": schedule},
		conditions: map[string]string{
			"Ready": "-Error", "Reconciling": "-Idle", "Stalled": stalled, "Degraded": "",
		},
	}
}

// with returns w with other facets.
func (w want) with(facets map[string]string) want {
	all := map[string]string{}
	for k, v := range w.facets {
		all[k] = v
	}
	for k, v := range facets {
		all[k] = v
	}
	w.facets = all
	return w
}

// users are those of a vlab, which reads its file again when it changes.
type users struct{ file string }

const everything = `[{verbs: ["*"], groups: ["*"], resources: ["*"]}]`

func (u users) write(t *testing.T, rules map[string]string) {
	t.Helper()
	text := "- {name: admin, token: admin-token-1, rules: " + everything + "}\n"
	for name, r := range rules {
		text += fmt.Sprintf("- {name: %s, token: %s-token-1, rules: %s}\n", name, name, r)
	}
	if err := os.WriteFile(u.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	reads    = `[{verbs: [get, list, watch], groups: ["*"], resources: ["*"]}]`
	noSwitch = `[{verbs: [get, list, watch], groups: [apiextensions.k8s.io, agent.githedgehog.com, vpc.githedgehog.com, gateway.githedgehog.com, gwint.githedgehog.com, dhcp.githedgehog.com], resources: ["*"]},` +
		` {verbs: [get, list, watch], groups: [wiring.githedgehog.com], resources: [connections, servers, switchgroups, vlannamespaces, serverprofiles, switchprofiles]}]`
	nothing = `[{verbs: [get], groups: [nothing.example], resources: [nothing]}]`
)

var usersMu sync.Mutex

// ailment is something that befalls a fabric while serve runs, how it then
// stands, and what mends it.
type ailment struct {
	name   string
	befall func(*patient)
	ill    want
	mend   func(*patient) // nil: the proxy is cleared
}

type patient struct {
	*testing.T
	*wire.Proxy
	board  *board
	name   string
	users  users
	rights map[string]string
}

var (
	failedAll = func(sentence string) string { return "Run N failed: ask which APIs are served: " + sentence }
	retrying  = "retrying: A reading is due every 30s, but the last pass failed: the next try in AGE."
)

const (
	forbiddenOne = `Run N could read only a part: 1 of 22 kinds could not be read: list switches: forbidden (403): switches.wiring.githedgehog.com is forbidden: ` +
		`User "u-f7" cannot list resource "switches" in API group "wiring.githedgehog.com" in the namespace "default". hedgerow fabric test prints the rights that are missing.`
	forbiddenAll = `Run N failed: 22 of 22 kinds could not be read (agents, catalogs, dhcpsubnets and 19 more): list agents: forbidden (403): agents.agent.githedgehog.com is forbidden: ` +
		`User "u-f8" cannot list resource "agents" in API group "agent.githedgehog.com" in the namespace "default". hedgerow fabric test prints the rights that are missing.`
)

var ailments = []ailment{
	{
		name: "stopped", befall: func(p *patient) { p.Refuse(); p.Disconnect() },
		ill: ill("failed", failedAll("HOST refused the connection. Is the API server running, and is the port right?"), retrying, "-NotStalled", 48).
			with(map[string]string{"follow": "broken"}),
	},
	{
		name: "firewalled", befall: func(p *patient) { p.Firewall() },
		ill: ill("failed", failedAll("HOST did not answer in time. Is a firewall dropping packets? --connect-timeout, --request-timeout and --pass-timeout say how long we wait."), retrying, "-NotStalled", 48).
			with(map[string]string{"follow": "broken"}),
	},
	{
		name: "slowed", befall: func(p *patient) { p.Set(wire.Rule{Do: wire.Delay(5 * time.Second)}) },
		ill: ill("failed", failedAll("HOST did not answer in time. Is a firewall dropping packets? --connect-timeout, --request-timeout and --pass-timeout say how long we wait."), retrying, "-NotStalled", 48),
	},
	{
		name: "wrong authority", befall: func(p *patient) { p.UnknownCA(); p.Disconnect() },
		ill: ill("failed", failedAll("the certificate of HOST is signed by an authority that is not trusted. Give the cluster's authority with --ca-file, or a kubeconfig that holds it."), retrying, "+TlsAuthority", 48).
			with(map[string]string{"follow": "broken"}),
	},
	{
		name: "expired certificate", befall: func(p *patient) { p.Expired(); p.Disconnect() },
		ill: ill("failed", failedAll("the certificate of HOST is valid from DATE to DATE only. Renew the server's certificate, or check the clocks of both machines."), retrying, "+TlsExpired", 48).
			with(map[string]string{"follow": "broken"}),
	},
	{
		name: "certificate of another", befall: func(p *patient) { p.Misnamed("other.example"); p.Disconnect() },
		ill: ill("failed", failedAll("the certificate of HOST is made out for other.example. Use a name that the certificate carries, or name the one to expect with --tls-server-name."), retrying, "+TlsName", 48).
			with(map[string]string{"follow": "broken"}),
	},
	{
		name: "token revoked", befall: func(p *patient) { p.allow("") },
		ill: ill("failed", failedAll("HOST does not accept our credential (401). The token or certificate is wrong or has expired; give a new one with hedgerow fabric edit."), retrying, "+Unauthenticated", 48),
		// Mended by hand: it is tried at once.
		mend: func(p *patient) {
			p.board.OK(p.T, "fabric", "edit", p.name, "--kubeconfig", p.Kubeconfig("admin-token-1"))
		},
	},
	{
		name: "stripped of one right", befall: func(p *patient) { p.allow(noSwitch) },
		ill: ill("degraded", forbiddenOne, "waiting: A reading is due every 30s: the next in AGE.", "+Forbidden", 48).
			with(map[string]string{"follow": "broken"}),
		mend: func(p *patient) { p.allow(reads) },
	},
	{
		name: "stripped of all rights", befall: func(p *patient) { p.allow(nothing) },
		ill: ill("failed", forbiddenAll, retrying, "+Forbidden", 48).
			with(map[string]string{"follow": "broken"}),
		mend: func(p *patient) { p.allow(reads) },
	},
	{
		name: "one kind hangs", befall: func(p *patient) { p.Set(wire.Rule{Path: list("switches"), Do: wire.Silent}) },
		ill: ill("degraded", "Run N could read only a part: 1 of 22 kinds could not be read: list switches: HOST did not answer in time. Is a firewall dropping packets? --connect-timeout, --request-timeout and --pass-timeout say how long we wait.", "waiting: A reading is due every 30s: the next in AGE.", "-NotStalled", 48),
	},
	{
		name: "a login page", befall: func(p *patient) { p.Set(wire.Rule{Do: wire.Answer(200, "text/html", loginPage)}); p.Disconnect() },
		ill: ill("failed", "Run N failed: HOST answers with something that is not the JSON it should be. Is this a Kubernetes API server? A proxy or a login page may stand in between.", retrying, "-NotStalled", 48),
	},
}

// allow changes the rights of the patient's own user; "" revokes its token.
func (p *patient) allow(rules string) {
	p.Helper()
	usersMu.Lock()
	defer usersMu.Unlock()
	if p.rights[p.user()] = rules; rules == "" {
		delete(p.rights, p.user())
	}
	p.users.write(p.T, p.rights)
}

func (p *patient) user() string { return "u-" + p.name }

// TestServeStates has one serve, and drives fabrics by what befalls their
// clusters from In sync to Error and back, all at the same time.
func TestServeStates(t *testing.T) {
	t.Parallel()
	u := users{filepath.Join(t.TempDir(), "users.yaml")}
	rights := map[string]string{}
	for i := range ailments {
		rights[fmt.Sprintf("u-f%d", i)] = reads
	}
	u.write(t, rights)
	c := lab.Vlab(t, "--fabric", "spine-leaf", "--tokens", u.file)
	h := lab.New(t, "HTTPS_PROXY=", "https_proxy=")
	patients := make([]*patient, len(ailments))
	for i := range ailments {
		p := &patient{Proxy: wire.New(t, c.Kubeconfig), name: fmt.Sprintf("f%d", i), users: u, rights: rights}
		h.OK(t, append([]string{"fabric", "add", p.name, "--kubeconfig", p.Kubeconfig(p.user() + "-token-1"), "--interval", "30s"}, quick...)...)
		patients[i] = p
	}
	s := lab.Start(t, h, "serve")
	s.WaitReady(t, soon)
	b := watchBoard(t, h)
	fine, sick := map[string]want{}, map[string]want{}
	for i, a := range ailments {
		patients[i].T, patients[i].board = t, b
		fine[patients[i].name], sick[patients[i].name] = well(referenceTotal), a.ill
	}
	was := b.awaitAll(t, byPass, fine)
	for i, a := range ailments {
		t.Logf("%s: %s", patients[i].name, a.name)
		a.befall(patients[i])
	}
	for i, a := range ailments {
		w := sick[patients[i].name]
		w.then = func() {
			if a.mend == nil {
				patients[i].Clear()
				return
			}
			a.mend(patients[i])
		}
		sick[patients[i].name] = w
	}
	b.awaitAll(t, byPass, sick)
	for name, is := range b.awaitAll(t, byPass, fine) {
		// Without any rights the definitions cannot be read either: the columns
		// are the built-in ones until they can, which is a change of the kinds.
		if is.Version != was[name].Version && name != "f8" {
			t.Errorf("%s: version %d before, %d after, though nothing changed in the cluster", name, was[name].Version, is.Version)
		}
	}
	quiet(t, s)
	if code := s.Stop(t); code != 0 {
		t.Errorf("serve exits with %d", code)
	}
}

// quiet asserts that a process logged no error, but for those expected.
func quiet(t *testing.T, s *lab.Process) {
	t.Helper()
	for _, l := range s.Log() {
		if l.Level == "ERROR" || l.Level == "OTHER" {
			t.Errorf("serve logged: %s", l.Text)
		}
	}
}
