package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
)

// resyncPeriod is how often new resources are found. A resource that is created later has no dependents in the tests.
const resyncPeriod = time.Second

// collectGarbage runs the garbage collector of kube-controller-manager, started as in its cmd/…/app/core.go.
func collectGarbage(config *rest.Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(clients.Discovery()))
	shared := informers.NewSharedInformerFactory(clients, 0)
	sharedMetadata := metadatainformer.NewSharedInformerFactory(metadataClient, 0)
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(ctx, clients, metadataClient, mapper,
		garbagecollector.DefaultIgnoredResources(), informerfactory.NewInformerFactory(shared, sharedMetadata), started)
	if err != nil {
		return err
	}
	shared.Start(ctx.Done())
	sharedMetadata.Start(ctx.Done())
	close(started)
	go collector.Run(ctx, 5, time.Minute)
	go collector.Sync(ctx, clients.Discovery(), resyncPeriod)
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
