package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/argoproj/gitops-engine/pkg/cache"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/engine"
	"github.com/argoproj/gitops-engine/pkg/sync"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
)

// trackingAnnotation is how Argo CD 3 marks the objects of an application.
const trackingAnnotation = "argocd.argoproj.io/tracking-id"

const application = "ecr-pull-secrets"

// trackingID is the value that Argo CD gives to the annotation of an object, see util/argo/resource_tracking.go there.
func trackingID(key kube.ResourceKey) string {
	return fmt.Sprintf("%s:%s/%s:%s/%s", application, key.Group, key.Kind, key.Namespace, key.Name)
}

// openCache lists and watches the whole cluster, as the application controller does.
func openCache(work *target) (cache.ClusterCache, func(), error) {
	clusterCache := cache.NewClusterCache(work.config,
		cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(object *unstructured.Unstructured, _ bool) (any, bool) {
			id := object.GetAnnotations()[trackingAnnotation]
			return id, id != ""
		}),
	)
	if err := clusterCache.EnsureSynced(); err != nil {
		return nil, nil, err
	}
	return clusterCache, func() { clusterCache.Invalidate() }, nil
}

func isManaged(resource *cache.Resource) bool {
	return resource.Info == trackingID(resource.ResourceKey())
}

// track marks the manifests as objects of the application. The namespace of namespaced objects without one is that of the
// application, as in Argo CD.
func track(work *target, clusterCache cache.ClusterCache) error {
	for _, object := range work.manifests {
		namespaced, err := clusterCache.IsNamespaced(object.GroupVersionKind().GroupKind())
		if err != nil {
			return fmt.Errorf("%s: %w", describe(object), err)
		}
		if namespaced && object.GetNamespace() == "" {
			object.SetNamespace(work.namespace)
		}
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[trackingAnnotation] = trackingID(kube.GetResourceKey(object))
		object.SetAnnotations(annotations)
	}
	return nil
}

// openTracked opens the cache, and marks the manifests as objects of the application.
func openTracked(work *target) (cache.ClusterCache, func(), error) {
	clusterCache, closeCache, err := openCache(work)
	if err != nil {
		return nil, nil, err
	}
	if err := track(work, clusterCache); err != nil {
		closeCache()
		return nil, nil, err
	}
	return clusterCache, closeCache, nil
}

// argoSync syncs with pruning, and returns each object with what was done.
func argoSync(ctx context.Context, work *target) ([]string, error) {
	clusterCache, closeCache, err := openTracked(work)
	if err != nil {
		return nil, err
	}
	defer closeCache()
	results, err := engine.NewEngine(work.config, clusterCache, engine.WithLogr(logr.Discard())).Sync(
		ctx, work.manifests, isManaged, "revision", work.namespace,
		sync.WithPrune(true), sync.WithLogr(logr.Discard()),
	)
	lines := make([]string, 0, len(results))
	for _, result := range results {
		lines = append(lines, fmt.Sprintf("%s %s: %s %s %s",
			result.ResourceKey.Kind, result.ResourceKey.Name, result.Status, result.HookPhase, result.Message))
	}
	return lines, err
}

// argoDiff returns each object that Argo CD shows as OutOfSync, with the three-way diff that it uses by default.
func argoDiff(_ context.Context, work *target) ([]string, error) {
	clusterCache, closeCache, err := openTracked(work)
	if err != nil {
		return nil, err
	}
	defer closeCache()
	live, err := clusterCache.GetManagedLiveObjs(work.manifests, isManaged)
	if err != nil {
		return nil, err
	}
	result := sync.Reconcile(work.manifests, live, work.namespace, clusterCache)
	diffs, err := diff.DiffArray(result.Target, result.Live, diff.WithLogr(logr.Discard()))
	if err != nil {
		return nil, err
	}
	var lines []string
	for index, one := range diffs.Diffs {
		if one.Modified {
			object := result.Target[index]
			if object == nil {
				object = result.Live[index]
			}
			lines = append(lines, fmt.Sprintf("%s: live %s, wanted %s", describe(object), one.NormalizedLive, one.PredictedLive))
		}
	}
	return lines, nil
}

// argoDelete deletes an application with the finalizer resources-finalizer.argocd.argoproj.io: all of its objects without an
// owner, in the foreground, and waits until they are gone (finalizeApplicationDeletion in controller/appcontroller.go).
func argoDelete(ctx context.Context, work *target) ([]string, error) {
	clusterCache, closeCache, err := openCache(work)
	if err != nil {
		return nil, err
	}
	defer closeCache()
	live, err := clusterCache.GetManagedLiveObjs(nil, isManaged)
	if err != nil {
		return nil, err
	}
	kubectl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	foreground := metav1.DeletePropagationForeground
	var lines []string
	for key, object := range live {
		if len(object.GetOwnerReferences()) > 0 {
			continue
		}
		options := metav1.DeleteOptions{PropagationPolicy: &foreground}
		err := kubectl.DeleteResource(ctx, work.config, object.GroupVersionKind(), key.Name, key.Namespace, options)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s: %w", describe(object), err)
		}
		lines = append(lines, describe(object))
		err = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			_, err := kubectl.GetResource(ctx, work.config, object.GroupVersionKind(), key.Name, key.Namespace)
			return apierrors.IsNotFound(err), nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s still exists: %w", describe(object), err)
		}
	}
	return lines, nil
}
