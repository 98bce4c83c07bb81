package pgtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"
)

// Environment variables, each the default of a field of Config.
const (
	EnvKind        = "PGCOHERENCE_POSTGRES"       // Config.Kind
	EnvDatabaseURL = "PGCOHERENCE_DATABASE_URL"   // Config.DatabaseURL
	EnvBinaries    = "PGCOHERENCE_POSTGRES_BIN"   // Config.Binaries
	EnvImage       = "PGCOHERENCE_POSTGRES_IMAGE" // Config.Image
)

// Defaults of Config.
const (
	DefaultImage        = "postgres:17-alpine"
	DefaultStartTimeout = 2 * time.Minute
)

// Config says which server to start and how. A nil or zero Config uses the
// defaults.
type Config struct {
	// Kind forces one kind of server. Defaults to PGCOHERENCE_POSTGRES; if that
	// is empty, to the first kind that works.
	Kind Kind

	// Crashable restricts Kind to those whose server can be stopped, crashed,
	// copied and promoted: binaries and download. Defaults to false.
	Crashable bool

	// DatabaseURL is the DSN of a running server, as a URL or as keywords and
	// values. For New, its role must be able to create databases. Defaults to
	// PGCOHERENCE_DATABASE_URL; if that is empty, the kind dsn is skipped.
	DatabaseURL string

	// Binaries is the directory of initdb and postgres. Defaults to
	// PGCOHERENCE_POSTGRES_BIN; if that is empty, PATH is searched, then
	// /usr/lib/postgresql.
	Binaries string

	// Image is the container's image. Defaults to PGCOHERENCE_POSTGRES_IMAGE,
	// then to DefaultImage.
	Image string

	// Mirror is the base URL of the Maven repository to download binaries from.
	// Defaults to the public one.
	Mirror string

	// DownloadCache is the directory for downloaded archives. Defaults to that
	// of embedded-postgres in the home directory.
	DownloadCache string

	// Password is the password of the superuser, postgres, on servers that
	// pgtest starts; logins use scram-sha-256. Defaults to a random one.
	Password string

	// Settings are server parameters, which override pgtest's own: fsync=off,
	// max_connections=200, max_prepared_transactions=8, wal_level=replica,
	// max_wal_senders=10. Benchmarks set fsync=on. A dsn server ignores them.
	// The address and the port cannot be set.
	Settings map[string]string

	// Environment is added to the server's, as "NAME=value". A dsn server and a
	// container ignore it.
	Environment []string

	// StartTimeout bounds the start of a server of one kind, including a
	// download or an image pull, and each later Start or Standby. Defaults to
	// DefaultStartTimeout; with a negative value only the context bounds them.
	StartTimeout time.Duration

	// Logger gets one line about the server that is used. Defaults to slog.Default().
	Logger *slog.Logger
}

// reserved lists the parameters that determine a server's address and
// directories, which pgtest sets itself.
var reserved = []string{"listen_addresses", "port", "unix_socket_directories", "data_directory", "hba_file", "external_pid_file"}

func (c *Config) withDefaults() (Config, error) {
	var out Config
	if c != nil {
		out = *c
	}

	if out.Kind == "" {
		kind, err := forcedKind()
		if err != nil {
			return Config{}, err
		}
		out.Kind = kind
	} else if !slices.Contains(kinds, out.Kind) {
		return Config{}, fmt.Errorf("pgtest: Config.Kind is %q: want %s", out.Kind, kindList())
	}

	if out.DatabaseURL == "" {
		out.DatabaseURL = os.Getenv(EnvDatabaseURL)
	}
	if out.Binaries == "" {
		out.Binaries = os.Getenv(EnvBinaries)
	}
	if out.Image == "" {
		out.Image = os.Getenv(EnvImage)
	}
	if out.Image == "" {
		out.Image = DefaultImage
	}
	if out.Password == "" {
		out.Password = randomHex(12)
	}
	if out.StartTimeout == 0 {
		out.StartTimeout = DefaultStartTimeout
	}
	if out.Logger == nil {
		out.Logger = slog.Default()
	}

	settings := map[string]string{
		"fsync":                     "off",
		"max_connections":           "200",
		"max_prepared_transactions": "8",
		"wal_level":                 "replica",
		"max_wal_senders":           "10",
	}

	for _, name := range reserved {
		if _, set := out.Settings[name]; set {
			return Config{}, fmt.Errorf("pgtest: Config.Settings: %s cannot be set", name)
		}
	}

	maps.Copy(settings, out.Settings)
	out.Settings = settings
	return out, nil
}

// settingArgs returns the settings as arguments of the server, sorted so that a
// process list looks the same each time.
func settingArgs(settings map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// randomHex returns n random bytes in hex: safe in URLs, names and SQL alike.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
