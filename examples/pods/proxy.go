package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"
)

// front is the one address in front of all pods.
type front struct {
	target
	server *http.Server
	pods   *roundRobin
	done   sync.WaitGroup
}

// startFront starts the front on a free port.
func startFront(pods *fleet) (*front, error) {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", anyAddr)
	if err != nil {
		return nil, err
	}

	rr := &roundRobin{pods: pods, transport: newTransport()}
	f := &front{target: target{name: "round robin", addr: listener.Addr().String()}, pods: rr}
	f.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "pods" },
			Transport: rr,
			ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				writeJSON(w, http.StatusBadGateway, failure{Error: err.Error()})
			},
		},
	}
	f.done.Go(func() { _ = f.server.Serve(listener) }) // it ends with close
	return f, nil
}

func (f *front) close() {
	_ = f.server.Close()
	f.done.Wait()
	f.pods.transport.CloseIdleConnections()
}

// roundRobin sends each request to the next pod. It skips dead pods. If a pod dies during a request, it sends the request to
// the next pod if that is safe.
type roundRobin struct {
	pods      *fleet
	transport *http.Transport
	next      atomic.Uint64
}

var errNoPod = errors.New("no pod is alive")

// RoundTrip implements http.RoundTripper.
func (r *roundRobin) RoundTrip(req *http.Request) (*http.Response, error) {
	first := r.next.Add(1)
	lastErr := errNoPod
	for i := range len(r.pods.names) {
		name := r.pods.names[(first+uint64(i))%uint64(len(r.pods.names))]
		pod, alive := r.pods.target(name)
		if !alive {
			continue
		}

		attempt := req.Clone(req.Context())
		attempt.URL.Host = pod.addr
		response, err := r.transport.RoundTrip(attempt)
		if err == nil {
			return response, nil
		}
		if lastErr = err; !mayRetry(req, err) {
			break
		}
	}

	return nil, lastErr
}

// mayRetry reports whether a failed request can be sent to another pod: it only reads, or was never sent.
func mayRetry(req *http.Request, err error) bool {
	if req.Context().Err() != nil {
		return false
	}
	var op *net.OpError
	return req.Method == http.MethodGet || req.Method == http.MethodHead || errors.As(err, &op) && op.Op == "dial"
}

func newTransport() *http.Transport {
	return &http.Transport{
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		DialContext:         (&net.Dialer{Timeout: time.Second}).DialContext,
	}
}
