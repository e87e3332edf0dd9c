// Package config reads the settings of Hedgerow: flags before environment
// before file before default, in one typed value that prints without secrets.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/caarlos0/env/v11"
	"go.yaml.in/yaml/v3"

	"hedgerow"
)

// Config are the settings. The tags name them in the environment (with the
// prefix HEDGEROW_) and in the file.
type Config struct {
	Data      string `env:"DATA" yaml:"data"`             // folder of the record and its key
	DB        string `env:"DB" yaml:"db"`                 // postgres:// URL, or a path; default: Data/hedgerow.db
	KeyFile   string `env:"KEY_FILE" yaml:"key-file"`     // default: Data/key.json
	LogLevel  string `env:"LOG_LEVEL" yaml:"log-level"`   // debug, info, warn, error
	LogFormat string `env:"LOG_FORMAT" yaml:"log-format"` // text, json
	Fabric    string `env:"FABRIC" yaml:"fabric"`         // the fabric that commands without -F mean
}

// Load reads the file (file, or the default one if it is "" and there is one),
// then the environment, then the flags that were given, and fills in defaults.
// The flags are a function that overwrites what the user set.
func Load(file string, environ []string, flags func(*Config)) (Config, error) {
	var c Config
	vars := env.ToMap(environ)
	if file == "" {
		file = vars["HEDGEROW_CONFIG"]
	}
	if err := c.readFile(file, vars); err != nil {
		return c, err
	}
	if err := env.ParseWithOptions(&c, env.Options{Prefix: "HEDGEROW_", Environment: vars}); err != nil {
		return c, hedgerow.Errorf(hedgerow.CodeInvalid, "environment: %w", err)
	}
	flags(&c)
	if c.Data == "" {
		c.Data = xdg(vars, "XDG_DATA_HOME", ".local/share")
	}
	if c.DB == "" {
		c.DB = filepath.Join(c.Data, "hedgerow.db")
	}
	if c.KeyFile == "" {
		c.KeyFile = filepath.Join(c.Data, "key.json")
	}
	if c.LogLevel == "" {
		c.LogLevel = "warn"
	}
	if c.LogFormat == "" {
		c.LogFormat = "text"
	}
	return c, c.validate()
}

func xdg(vars map[string]string, name, fallback string) string {
	if dir := vars[name]; dir != "" {
		return filepath.Join(dir, "hedgerow")
	}
	return filepath.Join(vars["HOME"], fallback, "hedgerow")
}

func (c *Config) readFile(file string, vars map[string]string) error {
	named := file != ""
	if !named {
		file = filepath.Join(xdg(vars, "XDG_CONFIG_HOME", ".config"), "config.yaml")
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "configuration file: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "configuration file %s: %w", file, err)
	}
	return nil
}

func (c Config) validate() error {
	if _, err := c.Level(); err != nil {
		return err
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return hedgerow.Errorf(hedgerow.CodeInvalid, "log format %q: use text or json", c.LogFormat)
	}
	return c.validateDB()
}

// validateDB does not say what it found: it may hold a password.
func (c Config) validateDB() error {
	if !strings.Contains(c.DB, "://") {
		if strings.Contains(c.DB, passwordParam+"=") {
			return hedgerow.Errorf(hedgerow.CodeInvalid, "the database is a path or a postgres:// URL, not a list of settings")
		}
		return nil
	}
	u, err := url.Parse(c.DB)
	switch {
	case err != nil:
		return hedgerow.Errorf(hedgerow.CodeInvalid, "the database's URL cannot be read: characters such as %%, @ and / of its password must be escaped")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return hedgerow.Errorf(hedgerow.CodeInvalid, "the database is a path or a postgres:// URL")
	}
	return nil
}

// Level is the log level as slog has it.
func (c Config) Level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return l, hedgerow.Errorf(hedgerow.CodeInvalid, "log level %q: use debug, info, warn or error", c.LogLevel)
	}
	return l, nil
}

// passwordParam is where a postgres:// URL can hold a password besides its
// usual place.
const passwordParam = "password"

// Secret is the password in the database's URL, zero without one.
func (c Config) Secret() hedgerow.Secret {
	u, err := url.Parse(c.DB)
	if err != nil {
		return hedgerow.Secret{}
	}
	if p, ok := u.User.Password(); ok {
		return hedgerow.NewSecret([]byte(p))
	}
	if p := u.Query().Get(passwordParam); p != "" {
		return hedgerow.NewSecret([]byte(p))
	}
	return hedgerow.Secret{}
}

// String prints the settings without secrets.
func (c Config) String() string {
	return fmt.Sprintf("data=%s db=%s key-file=%s log-level=%s log-format=%s fabric=%s", c.Data, c.publicDB(), c.KeyFile, c.LogLevel, c.LogFormat, c.Fabric)
}

// GoString keeps %#v from printing what String does not.
func (c Config) GoString() string { return c.String() }

// LogValue keeps slog from it.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// publicDB is where the database is, without what opens it.
func (c Config) publicDB() string {
	const withheld = "xxxxx" // as url.Redacted has it
	if c.validateDB() != nil {
		return withheld
	}
	u, err := url.Parse(c.DB)
	if err != nil || !strings.Contains(c.DB, "://") {
		return c.DB // a path
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(name, passwordParam) { // sslpassword too
			q.Set(name, withheld)
			u.RawQuery = q.Encode()
		}
	}
	return u.Redacted()
}
