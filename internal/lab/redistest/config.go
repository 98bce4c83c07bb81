package redistest

// Config is what a server is like. The zero value is one on a Unix socket, without a password.
type Config struct {
	// TCP: the server listens on a port instead of a socket. TLS, Cluster, Sentinel and ReplicaOf imply it.
	TCP bool
	// TLS: the port speaks only TLS, with a certificate that Server.CA vouches for.
	TLS bool
	// Password is what AUTH needs. Empty: nothing.
	Password string
	// Cluster: a cluster of one node, with all slots.
	Cluster bool
	// Sentinel names a server that this one, a sentinel, watches as MasterSet.
	Sentinel *Server
	// ReplicaOf names the server that this one copies.
	ReplicaOf *Server
	// Args are further arguments, in pairs: "--maxmemory", "10mb".
	Args []string
}

// MasterSet is the name under which sentinels know their server.
const MasterSet = "redistest"

func (c Config) onPort() bool {
	return c.TCP || c.TLS || c.Cluster || c.Sentinel != nil || c.ReplicaOf != nil
}
