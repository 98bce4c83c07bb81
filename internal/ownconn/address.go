package ownconn

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// address is one network address that a configuration leads to. It has several configurations if it is tried with TLS
// and without.
type address struct {
	name    string // host and IP, for errors
	configs []*pgx.ConnConfig
}

// resolve returns the addresses of all hosts of a configuration, in their order. Each host has its own share of the
// time to be looked up.
func resolve(ctx context.Context, config *pgx.ConnConfig, share time.Duration) (all []address, errs []error) {
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	looked := make(map[string][]string)
	for _, host := range hosts {
		if network, path := pgconn.NetworkAddress(host.Host, host.Port); network == "unix" {
			all = add(all, path, single(config, host))
			continue
		}

		ips, done := looked[host.Host]
		if !done {
			var err error
			if ips, err = lookup(ctx, config.LookupFunc, host.Host, share); err != nil {
				errs = append(errs, err)
			}
			looked[host.Host] = ips
		}
		for _, ip := range ips {
			one := single(config, host)
			one.LookupFunc = func(context.Context, string) ([]string, error) { return []string{ip}, nil }
			all = add(all, describe(host, ip), one)
		}
	}
	return all, errs
}

func lookup(ctx context.Context, find pgconn.LookupFunc, host string, share time.Duration) ([]string, error) {
	return guard(ctx, share, func(ctx context.Context) ([]string, error) { return find(ctx, host) }, nil)
}

// single returns a copy of a configuration that leads to one host only.
func single(config *pgx.ConnConfig, host *pgconn.FallbackConfig) *pgx.ConnConfig {
	one := config.Copy()
	one.Host, one.Port, one.TLSConfig, one.Fallbacks = host.Host, host.Port, host.TLSConfig, nil
	return one
}

func describe(host *pgconn.FallbackConfig, ip string) string {
	if _, _, err := net.SplitHostPort(ip); err == nil { // the lookup may say the port
		return host.Host + " (" + ip + ")"
	}
	port := strconv.Itoa(int(host.Port))
	if host.Host == ip {
		return net.JoinHostPort(ip, port)
	}
	return net.JoinHostPort(host.Host, port) + " (" + ip + ")"
}

// add appends a configuration to its address, which is a new one unless it came before.
func add(all []address, name string, config *pgx.ConnConfig) []address {
	if i := slices.IndexFunc(all, func(a address) bool { return a.name == name }); i >= 0 {
		all[i].configs = append(all[i].configs, config)
		return all
	}
	return append(all, address{name: name, configs: []*pgx.ConnConfig{config}})
}

// moveToFront puts the address of this name first.
func moveToFront(all []address, name string) {
	if i := slices.IndexFunc(all, func(a address) bool { return a.name == name }); i > 0 {
		first := all[i]
		copy(all[1:i+1], all[:i])
		all[0] = first
	}
}
