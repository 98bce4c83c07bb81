package main

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// link is a TCP address that leads to a server, and that can lead elsewhere,
// swallow what is sent, or end its connections.
type link struct {
	listener net.Listener
	all      sync.WaitGroup
	quit     chan struct{}

	mu     sync.Mutex
	to     string
	silent bool
	conns  map[net.Conn]struct{}
}

// startLink leads to an address of host and port.
func startLink(to string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &link{listener: listener, to: to, quit: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	l.all.Go(l.accept)
	return l, nil
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) port() uint16 {
	return uint16(l.listener.Addr().(*net.TCPAddr).Port) //nolint:errcheck // of a TCP listener
}

// lead has new connections go to another server.
func (l *link) lead(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// silence has the link take what is sent and pass nothing on, in both
// directions, as a firewall does that has forgotten its connections. New ones
// are accepted and get nowhere. What was swallowed is lost for good: end the
// connections with cut afterwards.
func (l *link) silence(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = silent
}

// cut ends all connections; new ones can be made.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}

// close ends the link with all of its connections.
func (l *link) close() {
	close(l.quit)
	l.listener.Close()
	l.cut()
	l.all.Wait()
}

func (l *link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		if l.add(near) {
			l.all.Go(func() { l.serve(near) })
		}
	}
}

// add reports whether the link still runs.
func (l *link) add(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.quit:
		conn.Close()
		return false
	default:
		l.conns[conn] = struct{}{}
		return true
	}
}

func (l *link) remove(conn net.Conn) {
	conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

func (l *link) now() (to string, silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to, l.silent
}

func (l *link) serve(near net.Conn) {
	defer l.remove(near)
	to, silent := l.now()
	for silent { // as if the first packet were lost, and sent again
		select {
		case <-l.quit:
			return
		case <-time.After(20 * time.Millisecond):
		}
		to, silent = l.now()
	}

	far, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil || !l.add(far) {
		return
	}
	defer l.remove(far)
	var both sync.WaitGroup
	both.Go(func() { l.forward(near, far) })
	both.Go(func() { l.forward(far, near) })
	both.Wait()
}

// forward ends both connections when one has ended.
func (l *link) forward(from, to net.Conn) {
	defer to.Close()
	defer from.Close()

	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if _, silent := l.now(); n > 0 && !silent {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}

		if err != nil {
			return
		}
	}
}
