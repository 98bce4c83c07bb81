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

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

// front is the one address before all pods: it speaks HTTPS for them, and sends each request to the next.
type front struct {
	cert      *certificate
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	pods      []*demo.Process
	next      atomic.Uint64
	done      sync.WaitGroup
}

// listenFront takes the address, which the others have to know before there is anything behind it.
func listenFront(ctx context.Context, cert *certificate) (*front, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", anyAddr)
	if err != nil {
		return nil, err
	}
	return &front{cert: cert, listener: l, transport: newTransport(nil)}, nil
}

// url is where people go. It is called localhost, which browsers take for a secure place even without HTTPS.
func (f *front) url() string { return publicURL(f.cert, f.listener.Addr().String()) }

func publicURL(cert *certificate, addr string) string {
	_, port, _ := net.SplitHostPort(addr) // one of our own listeners'
	return cert.scheme() + "://localhost:" + port
}

// start begins to serve.
func (f *front) start(pods []*demo.Process) {
	f.pods = pods
	f.server = newServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.URL.Scheme, r.Out.URL.Host = "http", f.pods[f.next.Add(1)%uint64(len(f.pods))].Addr
		},
		Transport: f.transport,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	})
	f.done.Go(func() { _ = f.cert.serve(f.server, f.listener) }) // it ends with close
}

func (f *front) close() error {
	if f.server == nil {
		return f.listener.Close()
	}
	err := f.server.Close()
	f.done.Wait()
	f.transport.CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
