package redistest

// Config configures a server. The zero value is a server on a Unix socket without a password.
type Config struct {
	// TCP makes the server listen on a port instead of a socket. TLS, Cluster, Sentinel and ReplicaOf imply it.
	TCP bool
	// TLS makes the port accept only TLS, with a certificate that Server.CA verifies.
	TLS bool
	// Password is required by AUTH. Empty means no password.
	Password string
	// Cluster makes the server a cluster of one node with all slots.
	Cluster bool
	// Sentinel makes this server a sentinel that watches the given server as MasterSet.
	Sentinel *Server
	// ReplicaOf makes this server a replica of the given server.
	ReplicaOf *Server
	// Args are further arguments, in pairs: "--maxmemory", "10mb".
	Args []string
}

// MasterSet is the name under which sentinels know their server.
const MasterSet = "redistest"

func (c Config) onPort() bool {
	return c.TCP || c.TLS || c.Cluster || c.Sentinel != nil || c.ReplicaOf != nil
}
