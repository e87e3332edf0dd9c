package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"hedgerow/e2e/wire"
)

// list is the path of a kind's list.
func list(plural string) string { return "/apis/*/*/namespaces/default/" + plural }

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// fault is one thing that goes wrong, and what must come of it.
type fault struct {
	name   string
	flags  []string
	strike func(fabric)
	exit   int
	code   string             // of the run; "" is a complete run
	all    verdict            // of every kind that is not in kinds
	kinds  map[string]verdict // of the kinds that it strikes
	says   []string           // fragments of the sentence that people read
	// rewrites allows a new version without a change of any object.
	rewrites bool
}

// rule strikes at requests.
func rule(r wire.Rule) func(fabric) { return func(f fabric) { f.Set(r) } }

func overHTTP1(strike func(fabric)) func(fabric) {
	return func(f fabric) {
		f.HTTP1()
		strike(f)
	}
}

// only strikes one kind with a verdict.
func only(plural string, v verdict) map[string]verdict { return map[string]verdict{plural: v} }

const loginPage = "<!doctype html><html><head><title>Sign in</title></head><body><form action=/login><input name=user></form></body></html>"

var faults = []fault{
	// The connection.
	{
		name: "refused", strike: func(f fabric) { f.Refuse() },
		exit: 1, code: "connect", all: failed("connect"), says: []string{"ask which APIs are served", "HOST refused the connection", "Is the API server running"},
	},
	{
		name: "closed at once", strike: func(f fabric) { f.CloseTCP() },
		exit: 1, code: "cut-off", all: failed("cut-off"), says: []string{"HOST closed the connection", "try again"},
	},
	{
		name: "accepts and never shakes hands", strike: func(f fabric) { f.MuteTCP() },
		exit: 1, code: "timeout", all: failed("timeout"), says: []string{"HOST did not answer in time", "--connect-timeout"},
	},
	{
		name: "shakes hands and never answers", strike: func(f fabric) { f.MuteTLS() },
		exit: 1, code: "timeout", all: failed("timeout"), says: []string{"HOST did not answer in time", "--request-timeout"},
	},
	{
		name: "shakes hands and never answers, HTTP/1.1", strike: overHTTP1(func(f fabric) { f.MuteTLS() }),
		exit: 1, code: "timeout", all: failed("timeout"), says: []string{"HOST did not answer in time", "--request-timeout"},
	},
	{
		name: "takes every request and never answers", strike: rule(wire.Rule{Do: wire.Silent}),
		exit: 1, code: "timeout", all: failed("timeout"), says: []string{"HOST did not answer in time", "--request-timeout"},
	},
	{
		name: "never answers one list", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Silent}),
		exit: 3, code: "timeout", all: complete, kinds: only("switches", failed("timeout")), says: []string{"list switches", "HOST did not answer in time"},
	},
	{
		name: "never answers one list, HTTP/1.1", strike: overHTTP1(rule(wire.Rule{Path: list("switches"), Do: wire.Silent})),
		exit: 3, code: "timeout", all: complete, kinds: only("switches", failed("timeout")), says: []string{"list switches", "HOST did not answer in time"},
	},
	{
		name: "slow, but within its time", strike: rule(wire.Rule{Path: list("*"), Do: wire.Delay(300 * time.Millisecond)}),
		all: complete,
	},
	{
		name: "one byte a second", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Trickle(0, time.Second, nil)}),
		exit: 3, code: "slow", all: complete, kinds: only("switches", failed("slow")), says: []string{"list switches", "HOST sent less than", "--request-timeout"},
	},
	{
		name: "one byte a second from the start", strike: rule(wire.Rule{Do: wire.Trickle(0, time.Second, nil)}),
		exit: 1, code: "slow", all: failed("slow"), says: []string{"HOST sent less than", "--request-timeout"},
	},

	// The certificate.
	{
		name: "unknown authority", strike: func(f fabric) { f.UnknownCA() },
		exit: 1, code: "tls-authority", all: failed("tls-authority"), says: []string{"the certificate of HOST is signed by an authority that is not trusted", "--ca-file"},
	},
	{
		name: "expired certificate", strike: func(f fabric) { f.Expired() },
		exit: 1, code: "tls-expired", all: failed("tls-expired"),
		says: []string{"the certificate of HOST is valid from", time.Now().AddDate(0, 0, -1).UTC().Format("2006-01-02"), "Renew the server's certificate"},
	},
	{
		name: "misnamed certificate", strike: func(f fabric) { f.Misnamed("other.example", "third.example") },
		exit: 1, code: "tls-name", all: failed("tls-name"), says: []string{"the certificate of HOST is made out for other.example, third.example", "--tls-server-name"},
	},
	{
		name: "certificate without a name", strike: func(f fabric) { f.Misnamed() },
		exit: 1, code: "tls-name", all: failed("tls-name"), says: []string{"made out for no name at all"},
	},

	// Who we are and what we may.
	{
		name: "401", strike: rule(wire.Rule{Do: wire.Status(401, "Unauthorized")}),
		exit: 1, code: "unauthenticated", all: failed("unauthenticated"), says: []string{"HOST does not accept our credential (401)", "hedgerow fabric edit"},
	},
	{
		name: "token expires in the middle of a pass", strike: rule(wire.Rule{Path: list("*"), Skip: 5, Do: wire.Status(401, "Unauthorized")}),
		exit: 3, code: "unauthenticated", all: verdict{"(some)", "unauthenticated"}, says: []string{"kinds could not be read", "HOST does not accept our credential (401)", "hedgerow fabric edit"},
	},
	{
		name: "403 for one kind", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(403, `switches is forbidden: User "u" cannot list resource`)}),
		exit: 3, code: "forbidden", all: complete, kinds: only("switches", forbidden), says: []string{"list switches: forbidden (403)", `User "u" cannot list`, "hedgerow fabric test"},
	},
	{
		name: "403 for everything", strike: rule(wire.Rule{Do: wire.Status(403, "no")}),
		exit: 1, code: "forbidden", all: forbidden, says: []string{"ask which APIs are served: forbidden (403): no", "hedgerow fabric test"},
	},
	{
		name: "401 for the definitions", strike: rule(wire.Rule{Path: definitions, Do: wire.Status(401, "Unauthorized")}),
		all: complete, // the kinds themselves can be read, with the definitions on record
	},
	{
		name: "403 for the definitions", strike: rule(wire.Rule{Path: definitions, Do: wire.Status(403, "no")}),
		all: complete, rewrites: true, // columns and schemas come from elsewhere
	},

	// What is served.
	{
		name: "a kind answers 404", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(404, "the server could not find the requested resource")}),
		exit: 3, code: "not-served", all: complete, kinds: only("switches", absent), says: []string{"list switches: not found (404)", "does not serve"},
	},
	{
		name: "no group is served", strike: rule(wire.Rule{Path: "/apis", Do: wire.Answer(200, "application/json", `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)}),
		exit: 1, code: "not-served", all: absent, says: []string{"the cluster no longer serves"},
	},
	{
		name: "one group is not served", strike: rule(wire.Rule{Path: "/apis", Do: groups("vpc.githedgehog.com")}),
		exit: 3, code: "not-served", all: absent, kinds: map[string]verdict{
			"ipv4namespaces": complete, "vpcs": complete, "vpcattachments": complete, "vpcpeerings": complete,
			"externals": complete, "externalattachments": complete, "externalpeerings": complete,
		}, says: []string{"the cluster no longer serves", ".wiring.githedgehog.com"},
	},

	// Paging.
	{
		name: "410 once in the middle of paging", flags: []string{"--page-size", "5"},
		strike: rule(wire.Rule{Path: list("connections"), Query: "continue=", Skip: 1, Times: 1, Do: wire.Status(410, "The provided continue parameter is too old")}),
		all:    complete,
	},
	{
		name: "410 always in the middle of paging", flags: []string{"--page-size", "5"},
		strike: rule(wire.Rule{Path: list("connections"), Query: "continue=", Do: wire.Status(410, "The provided continue parameter is too old")}),
		all:    complete, // by taking the list in one piece
	},
	{
		name: "410 for whole lists too", flags: []string{"--page-size", "5"},
		strike: rule(wire.Rule{Path: list("connections"), Do: wire.Status(410, "The provided continue parameter is too old")}),
		exit:   3, code: "expired", all: complete, kinds: only("connections", failed("expired")), says: []string{"list connections", "(410)", "--page-size"},
	},
	{
		name: "the same continuation twice", strike: rule(wire.Rule{Path: list("switches"), Do: anew(wire.Continue(func() string { return "again" }))}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "the same continuation twice"},
	},
	{
		name: "a list without an end", strike: func(f fabric) {
			var n atomic.Int64
			f.Set(wire.Rule{Path: list("vlannamespaces"), Do: anew(func(x *wire.Exchange) {
				wire.Rewrite(func(l *wire.List) {
					l.Items = nil
					l.Items = append(l.Items, json.RawMessage(fmt.Sprintf(`{"apiVersion":%q,"kind":"VLANNamespace","metadata":{"name":"n-%d","namespace":"default","uid":"u-%d"}}`, l.APIVersion, n.Add(1), n.Load())))
					l.Metadata["continue"] = fmt.Sprint(n.Load())
				})(x)
			})})
		},
		exit: 3, code: "timeout", all: complete, kinds: only("vlannamespaces", failed("timeout")), says: []string{"list vlannamespaces", "the time for the whole pass ran out", "--pass-timeout"},
	},

	// Overload and breakage.
	{
		name: "429 once", strike: rule(wire.Rule{Path: list("switches"), Times: 1, Do: wire.Status(429, "slow down", "Retry-After", "1")}),
		all: complete,
	},
	{
		name: "429 always", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(429, "slow down", "Retry-After", "1")}),
		exit: 3, code: "throttled", all: complete, kinds: only("switches", failed("throttled")), says: []string{"list switches", "HOST asks us to slow down (429)", "--qps"},
	},
	{
		name: "429 with an hour to wait", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(429, "slow down", "Retry-After", "3600")}),
		exit: 3, code: "throttled", all: complete, kinds: only("switches", failed("throttled")), says: []string{"list switches", "(429)"},
	},
	{
		name: "500 once for each", strike: func(f fabric) {
			var rules []wire.Rule
			for k := range reference {
				rules = append(rules, wire.Rule{Path: list(k), Times: 1, Do: wire.Status(500, "etcdserver: leader changed")})
			}
			f.Set(append(rules, wire.Rule{Path: "/apis", Times: 1, Do: wire.Status(503, "starting")})...)
		},
		all: complete,
	},
	{
		name: "500 always", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(500, "etcdserver: no leader")}),
		exit: 3, code: "server-error", all: complete, kinds: only("switches", failed("server-error")), says: []string{"list switches: HTTP 500 Internal Server Error: etcdserver: no leader", "API server's own log"},
	},
	{
		name: "503 for everything", strike: rule(wire.Rule{Do: wire.Answer(503, "text/html", loginPage)}),
		exit: 1, code: "server-error", all: failed("server-error"), says: []string{"ask which APIs are served: HTTP 503 Service Unavailable"},
	},
	{
		name: "two kinds fail in two ways", strike: func(f fabric) {
			f.Set(wire.Rule{Path: list("switches"), Do: wire.Status(500, "boom")}, wire.Rule{Path: list("servers"), Do: wire.Status(403, "no")})
		},
		exit: 3, code: "forbidden", all: complete, kinds: map[string]verdict{"switches": failed("server-error"), "servers": forbidden},
		says: []string{"list servers: forbidden (403): no", "nor could switches (server-error)"},
	},

	// Answers that are not what they should be.
	{
		name: "connection dropped once", strike: rule(wire.Rule{Path: list("switches"), Times: 1, Do: wire.Drop}),
		all: complete,
	},
	{
		name: "body cut once", strike: rule(wire.Rule{Path: list("switches"), Times: 1, Do: wire.Cut(700)}),
		all: complete,
	},
	{
		name: "body cut always", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Cut(700)}),
		exit: 3, code: "cut-off", all: complete, kinds: only("switches", failed("cut-off")), says: []string{"list switches: HOST ended its answer early", "try again"},
	},
	{
		name: "body cut always, HTTP/1.1", strike: overHTTP1(rule(wire.Rule{Path: list("switches"), Do: wire.Cut(700)})),
		exit: 3, code: "cut-off", all: complete, kinds: only("switches", failed("cut-off")), says: []string{"list switches: HOST ended its answer early", "try again"},
	},
	{
		name: "body shortened and ended properly", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Shorten(700)}),
		exit: 3, code: "cut-off", all: complete, kinds: only("switches", failed("cut-off")), says: []string{"list switches: HOST ended its answer early"},
	},
	{
		name: "empty body", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "application/json", "")}),
		exit: 3, code: "cut-off", all: complete, kinds: only("switches", failed("cut-off")), says: []string{"list switches"},
	},
	{
		name: "garbage", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "application/json", `{"kind":"SwitchList","items":[{"metadata":{"name":"x"},,,`)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "HOST sends is not valid JSON"},
	},
	{
		name: "garbage for everything", strike: rule(wire.Rule{Do: wire.Answer(200, "application/json", "\x00\xff{]")}),
		exit: 1, code: "garbage", all: failed("garbage"), says: []string{"HOST answers with something that is not the JSON", "A proxy or a login page"},
	},
	{
		name: "a login page for everything", strike: rule(wire.Rule{Do: wire.Answer(200, "text/html", loginPage)}),
		exit: 1, code: "garbage", all: failed("garbage"), says: []string{"HOST answers with something that is not the JSON", "A proxy or a login page"},
	},
	{
		name: "a login page for one list", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "text/html", loginPage)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "not valid JSON"},
	},
	{
		name: "JSON that is no list", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "application/json", `[]`)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "not a list of objects"},
	},
	{
		name: "a Status with 200", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Status(200, "Timeout: request did not complete")}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "not a list of objects"},
	},
	{
		name: "one object in place of a list", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "application/json",
			`{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Switch","metadata":{"name":"leaf-01","namespace":"default","resourceVersion":"7"},"spec":{}}`)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "not a list of objects"},
	},
	{
		name: "a Table in place of a list", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Answer(200, "application/json",
			`{"apiVersion":"meta.k8s.io/v1","kind":"Table","metadata":{"resourceVersion":"7"},"columnDefinitions":[],"rows":[]}`)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"list switches", "not a list of objects"},
	},
	{
		name: "an object without a name", strike: rule(wire.Rule{Path: list("switches"), Do: wire.Inject(`{"apiVersion":"wiring.githedgehog.com/v1beta1","kind":"Switch","metadata":{"namespace":"default"},"spec":{}}`)}),
		exit: 3, code: "garbage", all: complete, kinds: only("switches", failed("garbage")), says: []string{"switches", "has no metadata.name"},
	},
}

// anew hides a made-up continuation from the API server.
func anew(do wire.Action) wire.Action {
	return func(x *wire.Exchange) {
		q := x.Request.URL.Query()
		q.Del("continue")
		x.Request.URL.RawQuery = q.Encode()
		do(x)
	}
}

// groups answers the question which groups there are with some of them only.
func groups(names ...string) wire.Action {
	var gs []string
	for _, n := range names {
		v := `{"groupVersion":"` + n + `/v1beta1","version":"v1beta1"}`
		gs = append(gs, `{"name":"`+n+`","versions":[`+v+`],"preferredVersion":`+v+`}`)
	}
	return wire.Answer(200, "application/json", `{"kind":"APIGroupList","apiVersion":"v1","groups":[`+strings.Join(gs, ",")+`]}`)
}
