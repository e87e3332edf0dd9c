package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
	"hedgerow/internal/config"
	"hedgerow/internal/kinds"
	"hedgerow/internal/kube"
	"hedgerow/internal/manifest"
	"hedgerow/internal/store"
	"hedgerow/internal/syncer"
)

// app is one run of the program: where it writes, its settings, and what it
// has opened so far.
type app struct {
	out, err io.Writer
	environ  []string
	redactor *hedgerow.Redactor
	conf     config.Config
	log      *slog.Logger
	db       *store.DB
	moved    func(fabric int64) // called when this process has moved a fabric on, nil for nobody
}

func (a *app) close() {
	if a.db != nil {
		_ = a.db.Close() // everything written has been committed
	}
}

func (a *app) root() *cobra.Command {
	var file string
	var flags config.Config
	root := &cobra.Command{
		Use:   "hedgerow",
		Short: "See what your Hedgehog fabrics hold, what changed, and what could not be read",
		Long: `Hedgerow reads what the cluster of each Hedgehog fabric holds, keeps a record
of it, and tells from the record: what there is, what changed since when, and
exactly what could not be read and why.

Settings come from flags, then HEDGEROW_* variables, then a file
(--config, default ~/.config/hedgerow/config.yaml), then defaults.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly done, 4 not found,
5 another run is under way.`,
		Example: `  hedgerow fabric add lab --kubeconfig ~/.kube/config
  hedgerow sync lab
  hedgerow get switches -F lab
  hedgerow history -F lab --diff`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			set := cmd.Flags().Changed
			c, err := config.Load(file, a.environ, func(c *config.Config) {
				for name, copyFlag := range map[string]func(){
					"data": func() { c.Data = flags.Data }, "db": func() { c.DB = flags.DB }, "key-file": func() { c.KeyFile = flags.KeyFile },
					"log-level": func() { c.LogLevel = flags.LogLevel }, "log-format": func() { c.LogFormat = flags.LogFormat },
				} {
					if set(name) {
						copyFlag()
					}
				}
				if c.LogLevel == "" && cmd.Annotations[logsInfo] != "" {
					c.LogLevel = "info"
				}
			})
			if err != nil {
				return err
			}
			a.conf = c
			a.redactor.Add(c.Secret())
			a.log = a.logger()
			return nil
		},
	}
	p := root.PersistentFlags()
	p.StringVar(&file, "config", "", "configuration file")
	p.StringVar(&flags.Data, "data", "", "folder of the record and its key (default ~/.local/share/hedgerow)")
	p.StringVar(&flags.DB, "db", "", "the record: a path, or postgres://user@host/name (default DATA/hedgerow.db)")
	p.StringVar(&flags.KeyFile, "key-file", "", "keys that credentials are sealed with (default DATA/key.json)")
	p.StringVar(&flags.LogLevel, "log-level", "", "debug, info, warn or error (default warn; serve and worker: info)")
	p.StringVar(&flags.LogFormat, "log-format", "", "text or json (default text)")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "%w", err).WithHint("See: %s --help", cmd.CommandPath())
	})
	root.AddCommand(a.fabricCommand(), a.syncCommand(), a.getCommand(), a.describeCommand(), a.historyCommand(),
		a.runsCommand(), a.runCommand(), a.statusCommand(), a.serveCommand(), a.workerCommand(), a.userCommand(), a.keyCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// version is what go build recorded of the module.
func version() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := bi.Main.Version
	for _, s := range bi.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(v, s.Value[:12]) {
			v += " " + s.Value[:12]
		}
	}
	return v
}

// logger writes to standard error, through the redactor.
func (a *app) logger() *slog.Logger {
	level, _ := a.conf.Level() // validated
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, at slog.Attr) slog.Attr {
		switch at.Value.Kind() {
		case slog.KindString:
			at.Value = slog.StringValue(a.redactor.Text(at.Value.String()))
		case slog.KindAny:
			at.Value = slog.StringValue(a.redactor.Text(fmt.Sprint(at.Value.Any())))
		}
		return at
	}}
	if a.conf.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.err, opt))
	}
	return slog.New(slog.NewTextHandler(a.err, opt))
}

func (a *app) now() time.Time { return time.Now() }

// store opens the record, and closes runs whose process has died.
func (a *app) store(ctx context.Context) (*store.DB, error) {
	if a.db != nil {
		return a.db, nil
	}
	db, err := store.Open(ctx, a.conf.DB, store.Options{KeyFile: a.conf.KeyFile, Log: a.log, Now: a.now, Moved: a.moved})
	if err != nil {
		return nil, err
	}
	a.db = db
	// It is for who writes next; who only reads can do without, on a full disk
	// for instance.
	if err := db.CloseInterrupted(ctx, a.now()); err != nil {
		a.log.Warn("interrupted runs not closed", "error", err.Error())
	}
	return db, nil
}

// client returns a client for a fabric's cluster.
func (a *app) client(ctx context.Context, f hedgerow.Fabric) (*kube.Client, error) {
	if f.Cluster == nil {
		return nil, hedgerow.Errorf(hedgerow.CodeUnconfigured, "fabric %s has no cluster", f.Name).WithHint("Give it one: hedgerow fabric edit %s --kubeconfig FILE", f.Name)
	}
	db, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := db.Credential(ctx, f.ID)
	if err != nil {
		return nil, err
	}
	if sealed.IsZero() {
		return nil, hedgerow.Errorf(hedgerow.CodeUnconfigured, "fabric %s has no credential", f.Name).WithHint("Give it one: hedgerow fabric edit %s --kubeconfig FILE", f.Name)
	}
	cred, err := kube.Unpack(sealed)
	if err != nil {
		return nil, err
	}
	return a.connect(ctx, *f.Cluster, cred, f.Policy)
}

func (a *app) connect(ctx context.Context, cl hedgerow.Cluster, cred kube.Credential, p hedgerow.Policy) (*kube.Client, error) {
	db, err := a.store(ctx)
	if err != nil {
		return nil, err
	}
	mask, err := db.MaskKey(ctx, a.now())
	if err != nil {
		return nil, err
	}
	return kube.New(cl, cred, kube.Options{
		Policy: p, Mask: manifest.NewMask(mask.Reveal()), Redactor: a.redactor, Log: a.log, Agent: "hedgerow/" + version(),
	})
}

// facts returns what the record proves about a fabric.
func (a *app) facts(ctx context.Context, f hedgerow.Fabric) (hedgerow.Facts, error) {
	facts, err := syncer.Facts(ctx, a.db, f, kinds.Agents)
	if err != nil {
		return facts, err
	}
	facts.Service, _, err = a.service(ctx)
	return facts, err
}

// service returns what the record shows of the processes that keep it up to
// date.
func (a *app) service(ctx context.Context) (hedgerow.ServiceFacts, []hedgerow.Process, error) {
	processes, err := a.db.Processes(ctx)
	s := hedgerow.Service(processes)
	told := slices.ContainsFunc(s.Problems, func(p hedgerow.Problem) bool { return p.Reason == "DiskFull" })
	if full := a.db.Space(); full != nil && !told {
		s.Problems = append(s.Problems, hedgerow.Problem{Reason: "DiskFull", Message: full.Error(), Since: a.now()})
	}
	return s, processes, err
}

// kinds returns the kinds recorded for a fabric, with what we know of them.
func (a *app) kinds(ctx context.Context, f hedgerow.Fabric) ([]hedgerow.Kind, error) {
	ks, err := a.db.Kinds(ctx, f.ID)
	for i, k := range ks {
		ks[i] = kinds.Merge(k)
	}
	return ks, err
}

// fabric returns the named fabric; without a name, the only one there is.
func (a *app) fabric(ctx context.Context, name string) (hedgerow.Fabric, error) {
	db, err := a.store(ctx)
	if err != nil {
		return hedgerow.Fabric{}, err
	}
	if name == "" {
		name = a.conf.Fabric
	}
	if name != "" {
		return db.Fabric(ctx, name)
	}
	all, err := db.Fabrics(ctx)
	if err != nil {
		return hedgerow.Fabric{}, err
	}
	switch len(all) {
	case 0:
		return hedgerow.Fabric{}, hedgerow.Errorf(hedgerow.CodeNotFound, "there is no fabric yet").WithHint("Add one: hedgerow fabric add NAME --kubeconfig FILE")
	case 1:
		return all[0], nil
	}
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.Name
	}
	return hedgerow.Fabric{}, hedgerow.Errorf(hedgerow.CodeInvalid, "there are several fabrics: %s", strings.Join(names, ", ")).WithHint("Say which one: by name or with -F, or set HEDGEROW_FABRIC.")
}

// actor names who runs the program.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "uid " + fmt.Sprint(os.Getuid())
	}
	return u.Username
}

// subcommand refuses a word that is no subcommand.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "%s has no subcommand %q", cmd.CommandPath(), args[0]).WithHint("See: %s --help", cmd.CommandPath())
	}
	return nil
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// exactly is cobra.ExactArgs with a sentence.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

// between requires the first least of the named arguments and allows the rest.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= len(names) {
			return nil
		}
		if len(args) > len(names) {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "%q is one argument too many", args[len(names)]).WithHint("Use: %s", cmd.UseLine())
		}
		return hedgerow.Errorf(hedgerow.CodeInvalid, "%s is missing", names[len(args)]).WithHint("Use: %s", cmd.UseLine())
	}
}
