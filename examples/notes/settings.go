package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// settings are what the environment says. README.md lists the variables.
type settings struct {
	addr       string
	adminToken string
	insecure   bool
	sqlite     string
	appRole    string
	drain      time.Duration
	shutdown   time.Duration
	sealKey    string

	oidcIssuer, oidcClient, oidcSecret, oidcRedirect string

	bus *bus.Env // an empty DSN: one process, without Postgres
}

func settingsFromEnv() (*settings, error) {
	env, err := bus.ConfigFromEnv("")
	if err != nil {
		return nil, err
	}

	s := &settings{
		addr: text("NOTES_ADDR", ":8080"), adminToken: os.Getenv("NOTES_ADMIN_TOKEN"), sealKey: os.Getenv("NOTES_SEAL_KEY"),
		sqlite: text("NOTES_SQLITE", "file:notes?mode=memory&cache=shared"), appRole: os.Getenv("NOTES_APP_ROLE"),
		oidcIssuer: os.Getenv("NOTES_OIDC_ISSUER"), oidcClient: os.Getenv("NOTES_OIDC_CLIENT_ID"),
		oidcSecret: os.Getenv("NOTES_OIDC_CLIENT_SECRET"), oidcRedirect: os.Getenv("NOTES_OIDC_REDIRECT_URL"),
		bus: env,
	}

	var errs []error
	s.insecure, err = strconv.ParseBool(text("NOTES_INSECURE_COOKIES", "false"))
	errs = append(errs, named("NOTES_INSECURE_COOKIES", err))
	s.drain, err = time.ParseDuration(text("NOTES_DRAIN", "5s"))
	errs = append(errs, named("NOTES_DRAIN", err))
	s.shutdown, err = time.ParseDuration(text("NOTES_SHUTDOWN_TIMEOUT", "20s"))
	errs = append(errs, named("NOTES_SHUTDOWN_TIMEOUT", err))
	return s, errors.Join(errs...)
}

func text(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// named says which variable is wrong, without its value.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("notes: %s cannot be read", name)
}
