//! Who manages a resource.

use l2sces_proto::{resource::v1::Metadata, slice::v1 as api};

use crate::{samples, world::World};

fn managed(mut slice: api::Slice, by: &str) -> api::Slice {
    slice.metadata.as_mut().unwrap().managed_by = by.to_owned();
    slice
}

fn metadata(slice: api::Slice) -> Metadata {
    slice.metadata.unwrap()
}

#[tokio::test]
async fn who_manages_a_resource_is_said_when_it_is_made_and_never_after() {
    let mut world = World::empty().await;
    world.create_clusters().await;
    let made = world.create_slice(managed(samples::slice("s", &["a"]), "one")).await.unwrap();
    let made = metadata(made);
    assert_eq!(made.managed_by, "one");

    let slice = managed(samples::slice("s", &["a", "b"]), "another");
    let request = api::UpdateSliceRequest { slice: Some(slice), ..Default::default() };
    let updated = world.manager.slices.update_slice(request).await.unwrap().into_inner();
    let updated = metadata(updated.slice.unwrap());
    assert_eq!((updated.managed_by.as_str(), updated.generation), ("one", 2));

    let watch = world.manager.slices.watch_slices(api::WatchSlicesRequest::default()).await;
    let told = watch.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(metadata(told.slice.unwrap()).managed_by, "one");
    assert_eq!(metadata(world.slice("s").await.unwrap()).managed_by, "one");

    let other = world.create_slice(samples::slice("t", &["a"])).await.unwrap();
    assert_eq!(metadata(other).managed_by, "");
}
