// Package web makes the pages: routes, handlers, templates, forms, and the
// stream that says when a page is out of date.
//
// A page is made from the record alone, as one user may see it; it never waits
// for a cluster. Every page works without JavaScript; with it, a page reads
// itself anew when its fabric has moved on. The package knows neither SQL nor
// clusters nor the queue: what it needs of them is behind small interfaces.
package web

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"hedgerow"
	"hedgerow/internal/auth"
	"hedgerow/internal/view"
)

// Record is what pages are made from.
type Record interface {
	// FabricsFor and FabricFor find fabrics as a user may see them. The rest is
	// asked only of fabrics that they gave.
	FabricsFor(ctx context.Context, user int64) ([]hedgerow.Fabric, error)
	FabricFor(ctx context.Context, user, fabric int64, need hedgerow.Role) (hedgerow.Fabric, error)
	Search(ctx context.Context, user int64, text string, limit int) ([]hedgerow.Found, error)

	// Facts are in the order of the fabrics.
	Facts(ctx context.Context, fabrics ...hedgerow.Fabric) ([]hedgerow.Facts, error)
	Evidence(ctx context.Context, fabric int64) ([]hedgerow.KindEvidence, error)
	Kinds(ctx context.Context, f hedgerow.Fabric) ([]hedgerow.Kind, error)
	ObjectsPage(ctx context.Context, fabric int64, k hedgerow.KindID, q hedgerow.ObjectQuery) ([]hedgerow.Recorded, error)
	Named(ctx context.Context, fabric int64, k hedgerow.KindID, name string) ([]hedgerow.Recorded, error)
	History(ctx context.Context, fabric int64, q hedgerow.HistoryQuery) ([]hedgerow.Event, error)
	// Fields says which fields an event changed.
	Fields(ctx context.Context, e hedgerow.Event) ([]Change, error)
	// Links says what an object refers to, and what refers to it.
	Links(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind, o hedgerow.Recorded) (to, from []Link, err error)
	// Agent says what the agent of a switch has said, nil for objects that have
	// none.
	Agent(ctx context.Context, f hedgerow.Fabric, k hedgerow.Kind, o hedgerow.Recorded) (*Agent, error)
	// Wiring says which devices there are, and what is plugged into what.
	Wiring(ctx context.Context, f hedgerow.Fabric) ([]view.MapDevice, []view.MapCable, error)
	Runs(ctx context.Context, fabric, before int64, limit int, follow bool) ([]hedgerow.Run, error)
	Run(ctx context.Context, id int64) (hedgerow.Run, error)
}

// A Change is one field before and after, as text; "" where it was absent.
type Change struct{ Path, Before, After string }

// A Link is a reference between two objects of a fabric.
type Link struct {
	Kind      hedgerow.KindID // of the other object
	Plural    string
	Namespace string
	Name      string
	Path      string // of the field that refers
	Missing   bool   // the other is not in the record
}

// Agent is what the agent of a switch has said, as it was last read.
type Agent struct {
	State                          string // ready, pending, silent or not known
	Wanted, Attempted, Applied     int64  // generations of its configuration
	AttemptedAt, AppliedAt         time.Time
	Heartbeat, ReadAt              time.Time
	Version, Software              string
	Reboot                         bool
	Address                        string // of the agent itself
	Ports                          []AgentPort
	Sessions, SessionsUp, PortsBad int
}

// AgentPort is a port of a switch: what is plugged in by the wiring, and what
// the switch sees there.
type AgentPort struct {
	Name, Admin, Oper, Speed string
	Plugged                  string // device and port
	Address                  string // of the connection
	Seen                     string
}

// Passes takes requests for passes.
type Passes interface {
	// Request asks for a pass and returns the newest one of that moment.
	Request(ctx context.Context, fabric int64, actor string) (newest hedgerow.Run, err error)
}

// Live tells when fabrics move on.
type Live interface {
	// Watch returns what holds something when one of the fabrics that wants
	// picks has moved on since it was last taken, and what ends it.
	Watch(wants func(fabric int64) bool) (moved <-chan struct{}, end func())
	// Moments says where every fabric is.
	Moments() map[int64]hedgerow.Moment
}

// Config says what the pages stand on.
type Config struct {
	Record  Record
	Desk    *auth.Desk
	Passes  Passes
	Live    Live
	Now     func() time.Time
	Log     *slog.Logger
	Release string
	// TLS says that browsers reach the pages over TLS, directly or by a proxy.
	TLS bool
	// Health answers /healthz and /readyz, to anybody: it should name nothing.
	Health http.Handler
	// Stream gives an answer more time than others have, and ends it when the
	// server stops.
	Stream func(most time.Duration, next http.Handler) http.Handler
}

//go:embed templates/*.html
var templateFiles embed.FS

// site answers requests.
type site struct {
	Config
	pages    map[string]*template.Template
	assets   *assets
	searches chan struct{} // holds something for each that is under way
}

// New returns the pages.
func New(conf Config) (http.Handler, error) {
	_, h, err := open(conf)
	return h, err
}

func open(conf Config) (*site, http.Handler, error) {
	s := &site{Config: conf, pages: map[string]*template.Template{}, searches: make(chan struct{}, searchesAtOnce)}
	var err error
	if s.assets, err = readAssets(); err != nil {
		return nil, nil, err
	}
	if err := s.parse(); err != nil {
		return nil, nil, err
	}
	return s, s.routes(), nil
}

// route is one address, and who answers there.
type route struct {
	pattern string
	public  bool // also to who is not signed in
	handler http.Handler
}

// table is all that there is.
func (s *site) table() []route {
	return []route{
		{"GET /healthz", true, s.Health},
		{"GET /readyz", true, s.Health},
		{"GET /assets/{name}", true, http.HandlerFunc(s.assets.serve)},
		{"GET /sign-in", true, http.HandlerFunc(s.signInPage)},
		{"POST /sign-in", true, http.HandlerFunc(s.signIn)},
		{"POST /sign-out", false, http.HandlerFunc(s.signOut)},
		{"GET /{$}", false, s.page(s.home)},
		{"GET /search", false, s.page(s.search)},
		{"GET /events", false, s.Stream(streamFor, http.HandlerFunc(s.events))},
		{"GET /fabrics/{fabric}/{$}", false, s.of(hedgerow.Viewer, s.fabric)},
		{"POST /fabrics/{fabric}/sync/{$}", false, s.of(hedgerow.Operator, s.sync)},
		{"GET /fabrics/{fabric}/runs/{$}", false, s.of(hedgerow.Viewer, s.runs)},
		{"GET /fabrics/{fabric}/runs/{run}", false, s.of(hedgerow.Viewer, s.run)},
		{"GET /fabrics/{fabric}/map/{$}", false, s.of(hedgerow.Viewer, s.fabricMap)},
		{"GET /fabrics/{fabric}/history/{$}", false, s.of(hedgerow.Viewer, s.history)},
		{"GET /fabrics/{fabric}/{kind}/{$}", false, s.of(hedgerow.Viewer, s.objects)},
		{"GET /fabrics/{fabric}/{kind}/{namespace}/{name}", false, s.of(hedgerow.Viewer, s.object)},
		{"/", false, s.page(func(http.ResponseWriter, *http.Request) error {
			return hedgerow.Errorf(hedgerow.CodeNotFound, "there is no page at this address")
		})},
	}
}

// routes answers at every address of the table, by default to those only who
// are signed in.
func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		if !r.public {
			r.handler = s.signedIn(r.handler)
		}
		mux.Handle(r.pattern, r.handler)
	}
	protected := http.NewCrossOriginProtection()
	protected.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, hedgerow.Errorf(hedgerow.CodeForbidden, "this form was sent from another site").WithHint("Open the page here and try again."))
	}))
	return headers(protected.Handler(mux))
}

// headers keep a browser from making more of a page than it is (S17).
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Tabler's style sheet has its symbols in data: addresses.
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
