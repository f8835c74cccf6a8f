# libmqa.so and libmqa.a: the rooms from base to attention, each file compiled once and in both.
#
# mqa::mqa is the shared library; inside another project the static one, unless that says BUILD_SHARED_LIBS.
# mqa::mqa_static is always the static one.
set(objects ${library_rooms})
list(TRANSFORM objects REPLACE "(.+)" "$<TARGET_OBJECTS:mqa_\\1>")
add_library(mqa SHARED ${objects})
add_library(mqa_static STATIC ${objects})

foreach(library mqa mqa_static)
  target_include_directories(${library} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
  target_link_libraries(${library} PRIVATE Threads::Threads m)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME mqa LINKER_LANGUAGE C
                        EXCLUDE_FROM_ALL $<NOT:$<BOOL:${MQA_INSTALL}>>)
endforeach()
set(map ${PROJECT_SOURCE_DIR}/src/libmqa.map)
target_link_options(mqa PRIVATE LINKER:--version-script=${map})
set_target_properties(mqa PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${map})

add_library(mqa::mqa_static ALIAS mqa_static)
if(PROJECT_IS_TOP_LEVEL OR BUILD_SHARED_LIBS)
  add_library(mqa::mqa ALIAS mqa)
else()
  add_library(mqa::mqa ALIAS mqa_static)
endif()
