package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// path is one of the ways from a pod to the server: each has a proxy of its own, so that each can fail alone.
type path string

const (
	poolPath    path = "pool"
	listenPath  path = "listen"
	controlPath path = "control"
)

var allPaths = []path{poolPath, listenPath, controlPath}

// link is the network between a pod and the server.
type link struct {
	proxies map[path]*toxiproxy.Proxy
}

func newLink(pod, upstream string) (*link, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log past the logger they are given
	l := &link{proxies: map[path]*toxiproxy.Proxy{}}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for _, way := range allPaths {
		p := toxiproxy.NewProxy(server, pod+" "+string(way), "127.0.0.1:0", upstream)
		if err := p.Start(); err != nil {
			l.close()
			return nil, fmt.Errorf("proxy: %w", err)
		}
		l.proxies[way] = p
	}
	return l, nil
}

// dsn is the address of a database by one of the paths.
func (l *link) dsn(way path, dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	u.Host = l.proxies[way].Listen
	return u.String(), nil
}

// toxic is what a network does to its traffic: toxiproxy's types and attributes.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream: towards the server
	Attributes map[string]int `json:"attributes"`
}

const (
	upstream   = "upstream"
	downstream = "downstream"
)

// blackHole swallows everything in one direction; connections stay, and new ones can be made.
func blackHole(stream string) toxic {
	return toxic{Type: "timeout", Stream: stream, Attributes: map[string]int{"timeout": 0}}
}

func (l *link) poison(way path, toxics ...toxic) error {
	for _, t := range toxics {
		text, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if _, err := l.proxies[way].Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("toxic %s: %w", t.Type, err)
		}
	}
	return nil
}

// heal ends all that was done to the paths. What a black hole has swallowed is lost: its connections end.
func (l *link) heal(ctx context.Context) {
	for _, p := range l.proxies {
		p.Toxics.ResetToxics(ctx)
	}
}

// lead makes a path lead to another server. Its connections end.
func (l *link) lead(way path, to string) error {
	p := l.proxies[way]
	return p.Update(&toxiproxy.Proxy{Listen: p.Listen, Upstream: to, Enabled: true})
}

func (l *link) close() {
	for _, p := range l.proxies {
		p.Stop()
	}
}

// hostOf is host and port of a DSN in URL form.
func hostOf(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", err
	}
	return u.Host, nil
}
