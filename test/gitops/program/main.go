// Command gitops applies, compares and deletes manifests with the code of Argo CD and Flux, and runs the garbage collector of
// Kubernetes. The tests in test/gitops start it, because neither tool can run there as a whole.
//
//	gitops argo-sync|argo-diff|argo-delete KUBECONFIG NAMESPACE [MANIFESTS]
//	gitops flux-apply|flux-diff|flux-delete|helm-diff KUBECONFIG NAMESPACE MANIFESTS
//	gitops collect-garbage KUBECONFIG
//
// Each command prints a JSON list with one line of text for each object that it changed, or that differs. collect-garbage prints
// "ready" and runs until its standard input is closed.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/argoproj/gitops-engine/pkg/utils/kube"
)

// timeout of a command.
const timeout = 2 * time.Minute

// target is what a command works on.
type target struct {
	config    *rest.Config
	namespace string
	manifests []*unstructured.Unstructured
}

var commands = map[string]func(context.Context, *target) ([]string, error){
	"argo-sync":   argoSync,
	"argo-diff":   argoDiff,
	"argo-delete": argoDelete,
	"flux-apply":  fluxApply,
	"flux-diff":   fluxDiff,
	"flux-delete": fluxDelete,
	"helm-diff":   helmDiff,
}

func main() {
	klog.SetLogger(logr.Discard())
	ctrllog.SetLogger(logr.Discard())
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: gitops COMMAND KUBECONFIG [NAMESPACE [MANIFESTS]]")
	}
	config, err := clientcmd.BuildConfigFromFlags("", args[1])
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 500, 1000
	if args[0] == "collect-garbage" {
		return collectGarbage(config)
	}
	command, ok := commands[args[0]]
	if !ok || len(args) < 3 {
		return fmt.Errorf("unknown command %q", args)
	}
	work := &target{config: config, namespace: args[2]}
	if len(args) > 3 {
		if work.manifests, err = readManifests(args[3]); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	lines, err := command(ctx, work)
	if err != nil {
		return err
	}
	sort.Strings(lines)
	return json.NewEncoder(os.Stdout).Encode(append([]string{}, lines...))
}

func readManifests(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return kube.SplitYAML(text)
}

// describe names an object in the output.
func describe(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s", object.GetKind(), object.GetName())
}
