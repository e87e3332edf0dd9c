package config_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hedgerow"
	"hedgerow/internal/config"
)

func noFlags(*config.Config) {}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// settings are all of them, each with a value for every place that it can come
// from, and its default.
var settings = []struct {
	name, variable      string
	field               func(*config.Config) *string
	flag, env, file, is string
}{
	{"data", "HEDGEROW_DATA", func(c *config.Config) *string { return &c.Data }, "/flag", "/env", "/file", "/home/u/.local/share/hedgerow"},
	{"db", "HEDGEROW_DB", func(c *config.Config) *string { return &c.DB }, "/flag.db", "postgres://env/x", "/file.db", "/home/u/.local/share/hedgerow/hedgerow.db"},
	{"key-file", "HEDGEROW_KEY_FILE", func(c *config.Config) *string { return &c.KeyFile }, "/flag.key", "/env.key", "/file.key", "/home/u/.local/share/hedgerow/key.json"},
	{"log-level", "HEDGEROW_LOG_LEVEL", func(c *config.Config) *string { return &c.LogLevel }, "debug", "info", "error", "warn"},
	{"log-format", "HEDGEROW_LOG_FORMAT", func(c *config.Config) *string { return &c.LogFormat }, "json", "text", "json", "text"},
	{"fabric", "HEDGEROW_FABRIC", func(c *config.Config) *string { return &c.Fabric }, "flag", "env", "file", ""},
}

func TestPrecedence(t *testing.T) {
	for _, s := range settings {
		for places := range 8 {
			inFlag, inEnv, inFile := places&4 != 0, places&2 != 0, places&1 != 0
			want, text, environ, flags := s.is, "", []string{"HOME=/home/u"}, noFlags
			if inFile {
				want, text = s.file, s.name+": "+s.file+"\n"
			}
			if inEnv {
				want, environ = s.env, append(environ, s.variable+"="+s.env)
			}
			if inFlag {
				want, flags = s.flag, func(c *config.Config) { *s.field(c) = s.flag }
			}
			c, err := config.Load(write(t, text), environ, flags)
			if err != nil {
				t.Errorf("%s, flag %t, environment %t, file %t: %v", s.name, inFlag, inEnv, inFile, err)
				continue
			}
			if got := *s.field(&c); got != want {
				t.Errorf("%s, flag %t, environment %t, file %t: %q, want %q", s.name, inFlag, inEnv, inFile, got, want)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := config.Load("", []string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=/xdg"}, noFlags)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{Data: "/xdg/hedgerow", DB: "/xdg/hedgerow/hedgerow.db", KeyFile: "/xdg/hedgerow/key.json", LogLevel: "warn", LogFormat: "text"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The database and the key follow the folder.
	c, err = config.Load("", []string{"HOME=" + t.TempDir(), "HEDGEROW_DATA=/d"}, noFlags)
	if err != nil {
		t.Fatal(err)
	}
	if c.DB != "/d/hedgerow.db" || c.KeyFile != "/d/key.json" {
		t.Errorf("got %s", c)
	}
}

func TestWhichFile(t *testing.T) {
	home, xdg := t.TempDir(), t.TempDir()
	put := func(dir, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(filepath.Join(home, ".config/hedgerow"), "fabric: home\n")
	put(filepath.Join(xdg, "hedgerow"), "fabric: xdg\n")
	named, other := write(t, "fabric: named\n"), write(t, "fabric: variable\n")
	for _, tc := range []struct {
		file    string
		environ []string
		want    string
	}{
		{"", []string{"HOME=" + home}, "home"},
		{"", []string{"HOME=" + home, "XDG_CONFIG_HOME=" + xdg}, "xdg"},
		{"", []string{"HOME=" + home, "HEDGEROW_CONFIG=" + other}, "variable"},
		{named, []string{"HOME=" + home, "HEDGEROW_CONFIG=" + other}, "named"},
		{"", []string{"HOME=" + t.TempDir()}, ""},
	} {
		c, err := config.Load(tc.file, tc.environ, noFlags)
		if err != nil || c.Fabric != tc.want {
			t.Errorf("%q, %q: %q, %v, want %q", tc.file, tc.environ, c.Fabric, err, tc.want)
		}
	}
}

func TestRefuses(t *testing.T) {
	const password = "hunter2"
	for _, tc := range []struct {
		name, file string
		environ    []string
		want       string
	}{
		{"unknown key", "data: /d\nfabrik: x\n", nil, "line 2: field fabrik not found"},
		{"a key twice", "data: /d\ndata: /e\n", nil, "line 2"},
		{"not YAML", "data: [\n", nil, "line 1"},
		{"a list", "- data\n", nil, "line 1"},
		{"another type", "data: {a: b}\n", nil, "line 1"},
		{"log level in the file", "log-level: loud\n", nil, `log level "loud": use debug, info, warn or error`},
		{"log level in the environment", "", []string{"HEDGEROW_LOG_LEVEL=7"}, `log level "7"`},
		{"log format", "log-format: xml\n", nil, `log format "xml": use text or json`},
		{"another database", "", []string{"HEDGEROW_DB=mysql://u:" + password + "@h/d"}, "the database is a path or a postgres:// URL"},
		{"scheme in capitals", "", []string{"HEDGEROW_DB=MYSQL://u:" + password + "@h/d"}, "the database is a path or a postgres:// URL"},
		{"bad escape", "", []string{"HEDGEROW_DB=postgres://u:" + password + "%zz@h/d"}, "the database's URL cannot be read: characters such as %, @ and /"},
		{"bad port", "", []string{"HEDGEROW_DB=postgres://u:" + password + "/x@h/d"}, "the database's URL cannot be read"},
		{"a list of settings", "", []string{"HEDGEROW_DB=host=h password=" + password}, "not a list of settings"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := config.Load(write(t, tc.file), append(tc.environ, "HOME=/home/u"), noFlags)
			if err == nil {
				t.Fatalf("accepted: %s", c)
			}
			if !strings.Contains(err.Error(), tc.want) || hedgerow.CodeOf(err) != hedgerow.CodeInvalid {
				t.Errorf("%v (%s), want %q", err, hedgerow.CodeOf(err), tc.want)
			}
			if all := err.Error() + c.String(); strings.Contains(all, password) {
				t.Errorf("the password is shown: %s", all)
			}
		})
	}
	if _, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil, noFlags); err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a named file that is not there: %v", err)
	}
}

func TestNoPasswordIsShown(t *testing.T) {
	const password = "hunter2"
	for db, want := range map[string]string{
		"postgres://u:hunter2@h:5432/d?sslmode=require": "postgres://u:xxxxx@h:5432/d?sslmode=require",
		"postgres://h/d?password=hunter2&user=u":        "postgres://h/d?password=xxxxx&user=u",
		"postgres://h/d?sslpassword=hunter2":            "postgres://h/d?sslpassword=xxxxx",
		"postgres://u@h/d":                              "postgres://u@h/d",
		"postgres://u:hunter2%zz@h/d":                   "xxxxx",
		"host=h password=hunter2":                       "xxxxx",
		"/var/lib/a b/hedgerow.db":                      "/var/lib/a b/hedgerow.db",
		"file%zz.db":                                    "file%zz.db",
	} {
		c := config.Config{Data: "/d", DB: db, KeyFile: "/k", LogLevel: "warn", LogFormat: "text", Fabric: "lab"}
		if diff := cmp.Diff("data=/d db="+want+" key-file=/k log-level=warn log-format=text fabric=lab", c.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", db, diff)
		}
		var b bytes.Buffer
		slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "config", c, "pointer", &c)
		slog.New(slog.NewTextHandler(&b, nil)).Info("m", "config", c, "pointer", &c)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&b, verb+verb, c, &c)
		}
		if strings.Contains(b.String(), password) {
			t.Errorf("%s is shown: %s", db, b.String())
		}
	}
}

func TestSecret(t *testing.T) {
	for db, want := range map[string]string{
		"postgres://u:p%40ss@h/d":         "p@ss",
		"postgres://h/d?password=hunter2": "hunter2",
		"postgres://u@h/d":                "",
		"/a/path.db":                      "",
		"%zz":                             "",
	} {
		if got := string(config.Config{DB: db}.Secret().Reveal()); got != want {
			t.Errorf("%s: %q, want %q", db, got, want)
		}
	}
}

func TestLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "Error": slog.LevelError} {
		if got, err := (config.Config{LogLevel: text}).Level(); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestAnEmptyVariableIsNone(t *testing.T) {
	c, err := config.Load(write(t, "fabric: file\nlog-level: debug\n"), []string{"HOME=/h", "HEDGEROW_FABRIC=", "HEDGEROW_LOG_LEVEL=", "HEDGEROW_CONFIG="}, noFlags)
	if err != nil {
		t.Fatal(err)
	}
	if c.Fabric != "file" || c.LogLevel != "debug" {
		t.Errorf("got %s", c)
	}
}
