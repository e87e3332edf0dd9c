package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hedgerow"
)

func (a *app) fabricList() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the fabrics", Args: exactly(),
		Example: "  hedgerow fabric list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := format(o, "", "json", "name"); err != nil {
				return err
			}
			db, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			all, err := db.Fabrics(cmd.Context())
			if err != nil {
				return err
			}
			var rows [][]string
			list := []fabricJSON{}
			for _, f := range all {
				facts, err := a.facts(cmd.Context(), f)
				if err != nil {
					return err
				}
				st := hedgerow.StatusOf(facts, a.now())
				list = append(list, describeFabric(f))
				row := []string{f.Name, string(st.Badge), "", "", fmt.Sprint(facts.Objects), age(a.now(), facts.LastComplete)}
				if f.Cluster != nil {
					row[2], row[3] = f.Cluster.Server, namespace(f.Cluster.Namespace)
				}
				rows = append(rows, row)
			}
			switch o {
			case "json":
				return a.json(list)
			case "name":
				for _, f := range all {
					fmt.Fprintln(a.out, f.Name)
				}
				return nil
			}
			if len(all) == 0 {
				a.note("There is no fabric yet. Add one: hedgerow fabric add NAME --kubeconfig FILE")
				return nil
			}
			columns(a.out, []string{"NAME", "STATUS", "SERVER", "NAMESPACE", "OBJECTS", "PROOF"}, rows)
			return nil
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json or name")
	return cmd
}

// age is how long ago t was, "never" for no time.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return hedgerow.Age(now.Sub(t))
}

type fabricJSON struct {
	Name      string            `json:"name"`
	Cluster   *hedgerow.Cluster `json:"cluster"`
	Policy    map[string]any    `json:"policy"`
	Suspended bool              `json:"suspended"`
	Version   int64             `json:"version"`
	CreatedAt time.Time         `json:"createdAt"`
	UpdatedAt time.Time         `json:"updatedAt"`
}

func describeFabric(f hedgerow.Fabric) fabricJSON {
	p := f.Policy
	interval := p.Interval.String()
	if p.Interval == hedgerow.Manual {
		interval = "manual"
	}
	policy := map[string]any{
		"interval": interval, "connectTimeout": p.ConnectTimeout.String(), "requestTimeout": p.RequestTimeout.String(),
		"passTimeout": p.PassTimeout.String(), "qps": p.QPS, "burst": p.Burst, "pageSize": p.PageSize,
		"maxDeleteShare": p.MaxDeleteShare, "maxDeleteFloor": p.MaxDeleteFloor, "exclude": append([]string{}, p.Exclude...), "mode": string(p.Mode),
	}
	return fabricJSON{f.Name, f.Cluster, policy, f.Suspended, f.Version, f.CreatedAt, f.UpdatedAt}
}

func (a *app) fabricShow() *cobra.Command {
	var o string
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a fabric's settings", Args: exactly("NAME"),
		Example: "  hedgerow fabric show lab",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := format(o, "", "json"); err != nil {
				return err
			}
			f, err := a.fabric(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			d := describeFabric(f)
			if o == "json" {
				return a.json(d)
			}
			line := func(k string, v any) { fmt.Fprintf(a.out, "%-18s %v\n", k+":", v) }
			line("Name", f.Name)
			if c := f.Cluster; c != nil {
				line("Server", c.Server)
				line("Namespace", namespace(c.Namespace))
				line("Signing in by", c.Auth+" (sealed)")
				if c.Context != "" {
					line("From context", hedgerow.OneLine(c.Context))
				}
				if c.TLSServerName != "" {
					line("TLS server name", c.TLSServerName)
				}
				line("Trust", trust(*c))
			}
			line("Suspended", f.Suspended)
			for _, k := range []string{"interval", "mode", "connectTimeout", "requestTimeout", "passTimeout", "qps", "burst", "pageSize", "maxDeleteShare", "maxDeleteFloor"} {
				line(strings.ToUpper(k[:1])+k[1:], d.Policy[k])
			}
			line("Exclude", strings.Join(f.Policy.Exclude, ", "))
			line("Version", f.Version)
			line("Added", f.CreatedAt.Format(time.RFC3339))
			return nil
		},
	}
	cmd.Flags().StringVarP(&o, "output", "o", "", "json")
	return cmd
}
