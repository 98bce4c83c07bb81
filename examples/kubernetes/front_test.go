package kubernetes_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lag is how long after a change of a pod the proxies of a cluster still send it requests.
const lag = 700 * time.Millisecond

// front is the service's address: it follows readiness, late, as proxies do, and takes the ready pods in turn. It never
// repeats a request.
type front struct {
	*httptest.Server
	node *node
	port int32

	mu        sync.Mutex
	endpoints []string // as the proxies know them
	turn      int
}

func newFront(t *testing.T, n *node, port int32) *front {
	t.Helper()
	f := &front{node: n, port: port}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	f.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(f.next()) },
		Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "front: "+err.Error(), http.StatusBadGateway)
		},
	})

	ended, done := make(chan struct{}), make(chan struct{})
	go f.follow(ended, done)

	t.Cleanup(func() {
		f.Close()
		close(ended)
		<-done
		transport.CloseIdleConnections()
	})

	return f
}

// follow gives the proxies what was true a lag ago.
func (f *front) follow(ended <-chan struct{}, done chan<- struct{}) {
	defer close(done)

	type state struct {
		at  time.Time
		ips []string
	}

	var past []state
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()

	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}

		now := state{at: time.Now()}
		for _, p := range f.node.list() {
			if p.ready.Load() && !p.terminating.Load() {
				now.ips = append(now.ips, p.ip)
			}
		}

		past = append(past, now)
		for len(past) > 1 && time.Since(past[1].at) >= lag {
			past = past[1:]
		}

		if time.Since(past[0].at) >= lag {
			f.mu.Lock()
			f.endpoints = past[0].ips
			f.mu.Unlock()
		}
	}
}

func (f *front) next() *url.URL {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := "127.77.255.254" // nothing listens there
	if len(f.endpoints) > 0 {
		f.turn++
		host = f.endpoints[f.turn%len(f.endpoints)]
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(int(f.port)))}
}

// serves waits until the proxies know so many endpoints.
func (f *front) serves(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.endpoints) == n
	}, patience, 20*time.Millisecond)
}
