// Package kubernetes has the manifests that deploy examples/notes, and tests that render them, decode them strictly, and run
// the rendered Deployment as processes, through updates, evictions and the loss of a pod, under load.
package kubernetes
